import { RevenantError } from '../../engine/base/errors.js';
import { durationText, elapsedText, sizeText } from '../../engine/base/quantities.js';
import { startEmulated, status, stop, stopIdle } from '../../machine/emulated.js';
import type { MachineStatus } from '../../machine/emulated.js';
import { DEFAULT_POOL_MIB, runningLike } from '../../machine/launch.js';
import { usersText } from '../../machine/holders.js';
import type { CommandIo } from '../output.js';
import { formatTable } from '../table.js';

export interface MachineCommandOptions {
  verb: 'start' | 'status' | 'stop';
  cpu?: string;
  /** Guest memory in bytes. */
  memory?: number;
  /** Seconds without use after which it exits. */
  idle?: number;
  json?: boolean;
  /** `stop`: also machines in use. */
  force?: boolean;
}

const MIB = 1024 ** 2;

/** `revenant machine start|status|stop`. Returns the exit code; throws RevenantError. */
export async function machineCommand(options: MachineCommandOptions, io: CommandIo): Promise<number> {
  if (options.verb === 'start') await start(options, io);
  else if (options.verb === 'stop') stopAll(options, io);
  else show(status(), options, io);
  return 0;
}

async function start(options: MachineCommandOptions, io: CommandIo): Promise<void> {
  const memoryMiB = options.memory === undefined ? DEFAULT_POOL_MIB : Math.ceil(options.memory / MIB);
  const wanted = { cpu: options.cpu, memoryMiB, idleSeconds: options.idle };
  const begun = io.now();
  let running = runningLike(wanted, status());
  const started = running === undefined;
  if (started) {
    await startEmulated({ ...wanted, onStarting: (text) => io.err(`revenant: ${text}\n`) });
    running = runningLike(wanted, status());
  }
  const seconds = (io.now() - begun) / 1000;
  if (options.json) io.out(`${JSON.stringify({ started, seconds, machine: running ?? null })}\n`);
  else if (started) io.out(`started in ${durationText(seconds)}\n`);
  else io.out(`is already running (process ${running?.pid})\n`);
}

/** Stops unused machines; throws E_MACHINE_BUSY with the users of the others. */
function stopAll(options: MachineCommandOptions, io: CommandIo): void {
  const { stopped, used } = options.force ? { stopped: stop(), used: [] } : stopIdle();
  if (options.json) io.out(`${JSON.stringify({ stopped, ...(used.length > 0 ? { used } : {}) })}\n`);
  else if (stopped > 0 || used.length === 0)
    io.out(stopped === 0 ? 'no machine is running\n' : `stopped ${stopped}\n`);
  if (used.length === 0) return;
  throw new RevenantError(
    'E_MACHINE_BUSY',
    `Machines in use were not stopped: ${usersText(used)}.`,
    '--force stops them anyway; replays that use them continue on new machines.',
  );
}

function show(machines: MachineStatus[], options: MachineCommandOptions, io: CommandIo): void {
  if (options.json) {
    io.out(`${JSON.stringify({ machines })}\n`);
    return;
  }
  if (machines.length === 0) {
    io.out('no machine is running\n');
    return;
  }
  const rows = machines.map((machine) => [
    String(machine.pid),
    machine.state === 'leased' ? `leased to ${machine.client}` : machine.state,
    elapsedText(machine.seconds),
    machine.state === 'idle' ? `in ${elapsedText(Math.max(0, machine.idleSeconds - machine.seconds))}` : '',
    sizeText(machine.poolBytes),
    machine.cpu,
  ]);
  const table = [['process', 'state', 'since', 'leaves', 'memory', 'cpu'], ...rows];
  io.out(formatTable(table, { right: [0, 2, 4], width: io.columns(1) }));
}
