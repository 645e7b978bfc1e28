/**
 * Revenant as a library: read a trace, get a machine for it, replay it.
 *
 *   const trace = TraceReader.open(folder);
 *   const transport = await acquireEmulated();
 *   const machine = Machine.create(transport, machineConfig(trace));
 *   const session = ReplaySession.open({ trace, machine, log: silentLogger, output, ... });
 *   while (session.advance(1000, 50_000) !== 'end');
 */
export { type ErrorCode, ExitCode, RevenantError } from './engine/base/errors.js';
export { type Logger, silentLogger } from './engine/base/log.js';
export { REGISTER_NAMES, type RegisterName } from './engine/base/registers.js';
export { EventKind, type TraceFrame } from './engine/trace/frame.js';
export { TraceReader } from './engine/trace/reader.js';
export type { MMapRecord, TaskEventRecord, TraceHeader } from './engine/trace/records.js';
export { Machine, type MachineConfig } from './engine/kvm/machine.js';
export type { VcpuTransport } from './engine/kvm/transport.js';
export type { Position } from './engine/replay/position.js';
export {
  type Progress,
  type ReplayOptions,
  ReplaySession,
  type ReplayStats,
} from './engine/replay/session.js';
export {
  acquireEmulated,
  type EmulatedOptions,
  type MachineStatus,
  status,
  stop,
} from './machine/emulated.js';
export { openHost } from './machine/host.js';
