/** Recordings that the real gdb connects to. */
import path from 'node:path';
import { DebugServer, parseAddress } from '../../../src/debugger/server.js';
import type { StartPlace } from '../../../src/recording/start-place.js';
import { diversionStarter } from '../../../src/recording/divert.js';
import { openSession } from '../../../src/debugger/open.js';
import { larger, sample, traceFolder } from '../../collections.js';
import { machineFor } from '../../machines.js';
import { runGdb, type GdbResult } from '../gdb.js';

const root = path.resolve(import.meta.dirname, '../../..');
const driver = path.join(import.meta.dirname, 'driver.py');
const script = path.join(root, 'src/debugger/revenant-gdb.py');

export { sample };

/** Those of these traces that are here, of the larger collection or among the samples. */
export const available = (...names: string[]): string[] =>
  names.map((name) => larger(name) ?? traceFolder(name)).filter((folder) => folder !== null);

export interface Recording {
  /** As gdb's `target extended-remote` takes it. */
  readonly endpoint: string;
  /** What ended a session before its time. */
  readonly failures: unknown[];
  close(): Promise<void>;
}

/** @param place where it begins, the emulated machine's processor if it is to be that machine, and whether it answers as rr does */
export async function serveRecording(
  folder: string,
  place: StartPlace & { readonly cpu?: string; readonly asRr?: boolean } = {},
): Promise<Recording> {
  const { asRr, cpu, ...start } = place;
  const failures: unknown[] = [];
  const options = { machine: cpu === undefined ? machineFor(folder) : 'emulated', cpu } as const;
  const divert = diversionStarter({ ownKill: asRr ? 'refused' : 'done' });
  const server = await DebugServer.listen({
    address: parseAddress('0'),
    open: () => openSession({ folder, options, start, divert, asRr }),
    onFailure: (error) => failures.push(error),
  });
  return { endpoint: server.endpoint, failures, close: () => server.close() };
}

export interface Session extends GdbResult {
  /** What the driver's function said, in order, as one object. */
  readonly said: Record<string, unknown>;
}

/** gdb on a recording: commands, then a function of driver.py if one is named. */
export async function debug(
  recording: Recording,
  commands: readonly string[],
  scenario?: string,
  seconds = 240,
): Promise<Session> {
  // However long a busy machine takes; as `revenant gdb` has it.
  const patient = 'set remotetimeout 600';
  const connect = [
    `source ${script}`,
    'set confirm off',
    patient,
    `target extended-remote ${recording.endpoint}`,
  ];
  const drive = scenario === undefined ? [] : [`source ${driver}`, `python ${scenario}`];
  const result = await runGdb([...connect, ...commands, ...drive], seconds);
  const lines = result.text.split('\n').filter((line) => line.startsWith('@@'));
  const said = Object.assign({}, ...lines.map((line) => JSON.parse(line.slice(2)))) as Record<
    string,
    unknown
  >;
  return { ...result, said };
}

/** Opens, debugs, closes; fails with gdb's words where the session did. */
export async function debugOnce(
  folder: string,
  commands: readonly string[],
  scenario?: string,
  place: StartPlace = {},
): Promise<Session> {
  const recording = await serveRecording(folder, place);
  try {
    const session = await debug(recording, commands, scenario);
    if (session.code === null) throw new Error(`gdb did not end:\n${session.text}`);
    if (recording.failures.length > 0) throw recording.failures[0];
    return session;
  } finally {
    await recording.close();
  }
}
