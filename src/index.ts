/**
 * Revenant as a library. For scripts that look into recordings: `Replay` (docs/scripting.md). Below it, for those who
 * bring their own machine and loop:
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
export { readCheckpoint, writeCheckpoint } from './engine/persist/file.js';
export type { Position } from './engine/replay/state/position.js';
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
export {
  Replay,
  type BreakpointOptions,
  type Mark,
  type StopPoint,
  type WatchOptions,
} from './api/replay.js';
export type { OpenReplayOptions } from './api/options.js';
export type { PlaceInput as Place } from './recording/place.js';
export type { ValueOf, ValueType } from './recording/values.js';
export { divert, type DiversionHandle, type DivertOptions } from './recording/divert.js';
export type { Evaluated, ExpressionValue } from './diversion/call/evaluated.js';
export type { DebugStop, DebugTask, LifecycleKind, WatchAccess } from './engine/target.js';
export type { SourceLine } from './engine/symbols/line-table.js';
