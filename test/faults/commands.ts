/** The commands that faults are tried with, and how each comes to its end. */
import type { ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';

export const root = path.resolve(import.meta.dirname, '../..');
const trace = (name: string): string => path.join(root, 'traces', name);

export interface Tried {
  readonly name: string;
  readonly args: readonly string[];
  /**
   * For commands that do not end by themselves: called again and again, ends them when they have come to work.
   * @param said on standard error, so far
   * @param seconds fair ones since the beginning
   */
  readonly attend?: (child: ChildProcess, said: string, seconds: number) => void;
}

/**
 * @param redis URL of a Redis
 * @param folder for sockets
 */
export function commands(redis: string, folder: string): Tried[] {
  const socket = path.join(folder, 'serve.sock');
  const hello = trace('zen2/hello-static');
  return [
    { name: 'replay', args: ['replay', hello] },
    { name: '--all', args: ['replay', '--all', hello, trace('zen2/crash')] },
    { name: 'ci', args: ['ci', '--fresh', hello] },
    { name: 'call', args: ['call', trace('skylake-pku/tree'), '--at', 'exit', '(int)tree_sum(root)'] },
    { name: 'gdb', args: ['gdb', hello, '--', '-nx', '-batch', '-ex', 'when', '-ex', 'continue'] },
    { name: 'serve', args: ['serve', hello, '--once', '--listen', socket], attend: connectTo(socket) },
    { name: 'info', args: ['info', hello] },
    { name: 'doctor', args: ['doctor', hello] },
    { name: 'worker', args: ['worker', '--queue', redis], attend: stopWorker },
  ];
}

/** A client that has disconnected has ended a server with --once. */
function connectTo(socket: string): (child: ChildProcess) => void {
  return () => {
    if (!fs.existsSync(socket)) return;
    const client = net.connect(socket, () => client.end());
    client.on('error', () => {});
  };
}

/** Where nothing that it says comes out, a worker has found its machines after so many fair seconds. */
const QUIET_SECONDS = 30;

const stopped = new WeakSet<ChildProcess>();

/** SIGTERM once a worker takes jobs; a second one would end it at once. */
function stopWorker(child: ChildProcess, said: string, seconds: number): void {
  if (stopped.has(child) || !(/ is ready, /.test(said) || seconds > QUIET_SECONDS)) return;
  stopped.add(child);
  child.kill('SIGTERM');
}
