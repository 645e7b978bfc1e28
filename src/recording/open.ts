/** Opening a trace on a machine, for scripts. */
import { RevenantError } from '../engine/base/errors.js';
import { type Logger, silentLogger } from '../engine/base/log.js';
import type { VcpuTransport } from '../engine/kvm/transport.js';
import { CheckpointFiles, folderBeside } from '../engine/persist/archive.js';
import { TraceReader } from '../engine/trace/reader.js';
import { TravelTarget } from '../engine/travel/target.js';
import { chooseMachine, openTransport, type MachineKind } from '../machine/choose.js';
import { memoryForLimit } from '../machine/launch.js';
import { Expressions } from '../expressions/expressions.js';
import { recordingDoubt } from '../engine/trace/header.js';
import { RecordingScan } from './trace-index.js';

export interface OpenReplayOptions {
  /** `auto` (the default): the host's KVM where it gives what the trace needs, else the emulated machine. */
  readonly machine?: MachineKind | 'auto';
  /** Processor of the emulated machine, as QEMU's -cpu names it. */
  readonly cpu?: string;
  /** Most guest memory to use, in bytes. */
  readonly memory?: number;
  /** The trace was not packed: files of this machine that it names are used. */
  readonly unpacked?: boolean;
  /** Folders in which files may lie that the trace names or links to. */
  readonly files?: readonly string[];
  /** For a trace whose recorder was killed: the folder of another by the same rr and machine. */
  readonly like?: string;
  /** Longest time in the guest without reaching the next frame. Default 60. */
  readonly stallLimitSeconds?: number;
  /** The gdb that evaluates expressions with types. Default: `gdb`. */
  readonly gdb?: string;
  /** Folders with checkpoint files of the trace. Default: the one beside it. */
  readonly checkpoints?: readonly string[];
  /** What the recorded program writes to its standard output and error, as the replay passes it for the first time. */
  readonly output?: (stream: 1 | 2, bytes: Uint8Array) => void;
  /** Told what the user should know: a machine is started, a file is not the recorded one. */
  readonly onNote?: (text: string) => void;
  readonly log?: Logger;
  /** When it aborts, what is under way ends with E_INTERRUPTED; the replay can then be used on. */
  readonly signal?: AbortSignal;
}

export interface OpenedReplay {
  readonly trace: TraceReader;
  readonly target: TravelTarget;
  /** The frame at which the first program begins. */
  readonly firstFrame: number;
  readonly scan: RecordingScan;
  readonly expressions: Expressions;
  /** Of the machine. */
  readonly description: string;
  close(): void;
}

const foldersOf = (trace: TraceReader, { checkpoints }: OpenReplayOptions): readonly string[] =>
  checkpoints ?? [folderBeside(trace.directory)];

const STALL_LIMIT_SECONDS = 60;

function openTrace(folder: string, { unpacked, files, like, onNote }: OpenReplayOptions): TraceReader {
  return TraceReader.open(folder, {
    header: like === undefined ? undefined : TraceReader.headerOf(like),
    onForeignFile: unpacked ? (text) => onNote?.(text) : undefined,
    fileFolders: files,
  });
}

/** Throws RevenantError: the trace cannot be read, no machine can carry it. Nothing is left open then. */
export async function openReplay(folder: string, options: OpenReplayOptions): Promise<OpenedReplay> {
  const { cpu, onNote, log = silentLogger } = options;
  const scan = new RecordingScan(() => TraceReader.open(folder));
  const firstFrame = scan.firstExec();
  if (firstFrame === null)
    throw new RevenantError('E_USAGE', `${folder} has no program: the recording ends before the first exec.`);
  const trace = openTrace(folder, options);
  const doubt = recordingDoubt(trace.header);
  if (doubt !== null) onNote?.(doubt);
  const transports: VcpuTransport[] = [];
  const release = (): void => {
    for (const transport of transports) transport.close();
    trace.close();
  };
  const memoryMiB = memoryForLimit(options.memory);
  const lease = async (kind: MachineKind): Promise<VcpuTransport> => {
    const transport = await openTransport(kind, { cpu, memoryMiB, onStarting: onNote });
    transports.push(transport);
    return transport;
  };
  try {
    const { machine: kind = 'auto' } = options;
    const chosen = await chooseMachine({ machine: kind, header: trace.header, lease });
    const { machine, attestation, gifts } = chosen;
    const target = TravelTarget.open({
      trace,
      machine,
      log,
      memoryLimitBytes: options.memory ?? machine.pool.byteLength,
      stallLimitMicros: (options.stallLimitSeconds ?? STALL_LIMIT_SECONDS) * 1e6,
      dataBreakpoints: attestation.dataBreakpoints,
      archive: (session) => new CheckpointFiles(session, foldersOf(trace, options)),
      output: options.output ?? (() => {}),
    });
    const note = (text: string): void => onNote?.(text);
    const expressions = new Expressions({ replay: target, trace, gdb: options.gdb ?? 'gdb', log, note });
    const close = (): void => {
      try {
        expressions.close();
        target.close();
      } finally {
        release();
      }
    };
    return {
      trace,
      target,
      expressions,
      firstFrame,
      scan,
      description: gifts.description,
      close,
    };
  } catch (error) {
    release();
    throw error;
  }
}
