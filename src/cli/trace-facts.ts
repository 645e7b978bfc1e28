import { COMPLETED_FEATURES } from '../engine/x86/completion.js';
import { componentName } from '../engine/x86/xstate-layout.js';
import type { TraceReader } from '../engine/trace/reader.js';
import type { TaskEventRecord, TraceHeader } from '../engine/trace/records.js';
import { listFiles } from '../engine/trace/source.js';
import { approximateCode, type ApproximateCode } from './approximate-code.js';
import type { CpuModel } from './cpu-features.js';
import { recordedFeatures, recordedModel } from './cpu-features.js';
import { announcedInstructions } from '../machine/instruction-sets.js';
import { KIND_NAMES } from '../recording/frame-text.js';
import { processorName } from '../recording/processor.js';

/** Everything that `revenant info` prints; its JSON form is this object. */
export interface TraceFacts {
  trace: string;
  traceVersion: number;
  uuid: string;
  /** The recorder was killed: there is no header, and the rest may be cut off. */
  incomplete: boolean;
  /** rr releases that write such traces. */
  recordedBy: string;
  /** Of the first program; empty if the trace holds no exec. */
  commandLine: string[];
  executable: string | null;
  /** wait(2) status of the first program; null if the trace ends before it. */
  exitStatus: number | null;
  uname: TraceHeader['uname'] | null;
  processor:
    ({ name: string; features: string[]; cpuidRecords: number; cpuidFaulting: boolean } & CpuModel) | null;
  xcr0: { value: bigint; components: string[] };
  /** Groups of instructions that are executed in software where the replaying processor lacks them. */
  inSoftware: string[];
  bindToCpu: number;
  chaosMode: string;
  syscallBuffering: boolean;
  quirks: string[];
  header: Omit<TraceHeader, 'cpuidRecords' | 'uuid' | 'quirks' | 'uname' | 'version'>;
  frames: number;
  framesByEvent: Record<string, number>;
  /** Seconds of the recorder's clock from the first frame to the last. */
  duration: number;
  tasks: { tid: number; events: string[] }[];
  mappings: number;
  /** Every file that mappings need is in the trace directory (`rr pack`). */
  selfContained: boolean;
  /** Executable files with instructions whose results differ from processor to processor (RSQRT, RCP). */
  approximateCode: ApproximateCode[];
  memoryWrites: number;
  /** Decompressed. */
  dataBytes: number;
  files: { name: string; size: number }[];
}

/** Totals of the frames, mappings and tasks of a trace. */
class Tally {
  frames = 0;
  first = 0;
  last = 0;
  writes = 0;
  dataBytes = 0;
  conservative = false;
  mappings = 0;
  selfContained = true;
  readonly byKind = new Map<string, number>();
  readonly tasks = new Map<number, TaskEventRecord[]>();

  /** Reads the trace to its end. */
  constructor(reader: TraceReader) {
    for (let frame = reader.advance(); frame !== null; frame = reader.advance()) {
      if (this.frames++ === 0) this.first = frame.monotonicSec;
      this.last = frame.monotonicSec;
      const kind = KIND_NAMES[frame.kind];
      this.byKind.set(kind, (this.byKind.get(kind) ?? 0) + 1);
      this.writes += frame.memWriteCount;
      this.dataBytes = frame.dataEnd;
      for (let i = 0; i < frame.memWriteCount; i++) {
        if (frame.memWrites[i].sizeIsConservative) this.conservative = true;
      }
      this.#records(reader, frame.frameTime);
    }
  }

  #records(reader: TraceReader, frameTime: number): void {
    for (let map = reader.nextMapping(frameTime); map !== null; map = reader.nextMapping(frameTime)) {
      this.mappings++;
      if (map.source.kind === 'file' && map.source.backingFileName.startsWith('/'))
        this.selfContained = false;
    }
    for (
      let event = reader.nextTaskEvent(frameTime);
      event !== null;
      event = reader.nextTaskEvent(frameTime)
    ) {
      const events = this.tasks.get(event.tid) ?? [];
      events.push(event);
      this.tasks.set(event.tid, events);
    }
  }
}

/** Reads a whole trace. Errors: those of TraceReader. */
export function gatherFacts(reader: TraceReader): TraceFacts {
  const { header } = reader;
  const tally = new Tally(reader);
  const events = [...tally.tasks.values()].flat();
  const exec = events.find((event) => event.kind === 'exec');
  const exit = events.find((event) => event.kind === 'exit' && event.tid === exec?.tid);
  const model = recordedModel(header);
  const { cpuidRecords, uuid, quirks, uname, version, ...rest } = header;
  return {
    trace: reader.directory,
    traceVersion: version,
    uuid: Buffer.from(uuid).toString('hex'),
    incomplete: reader.incomplete,
    recordedBy: recordedBy(reader, tally.conservative),
    commandLine: exec?.kind === 'exec' ? exec.cmdLine : [],
    executable: exec?.kind === 'exec' ? exec.fileName : null,
    exitStatus: exit?.kind === 'exit' ? exit.exitStatus : null,
    uname: uname.sysname === '' ? null : uname,
    processor: model && {
      name: processorName(header),
      ...model,
      features: recordedFeatures(header),
      cpuidRecords: cpuidRecords.length,
      cpuidFaulting: header.hasCpuidFaulting,
    },
    xcr0: { value: header.xcr0, components: bitsOf(header.xcr0).map(componentName) },
    inSoftware: announcedInstructions(header.cpuidRecords).filter((name) => COMPLETED_FEATURES.has(name)),
    bindToCpu: header.bindToCpu,
    chaosMode: header.chaosMode,
    syscallBuffering: tally.byKind.has('syscallbufFlush'),
    quirks: Object.entries(quirks)
      .filter(([, set]) => set)
      .map(([name]) => name),
    header: rest,
    frames: tally.frames,
    framesByEvent: Object.fromEntries([...tally.byKind].sort((a, b) => b[1] - a[1])),
    duration: tally.last - tally.first,
    tasks: [...tally.tasks].map(([tid, list]) => ({ tid, events: list.map((event) => event.kind) })),
    mappings: tally.mappings,
    approximateCode: approximateCode(reader.directory),
    selfContained: tally.selfContained,
    memoryWrites: tally.writes,
    dataBytes: tally.dataBytes,
    files: listFiles(reader.directory),
  };
}

function bitsOf(mask: bigint): number[] {
  return Array.from({ length: 64 }, (_, bit) => bit).filter((bit) => (mask >> BigInt(bit)) & 1n);
}

/** From what releases changed in the format: sizes of the syscall buffer's structures, new fields. */
function recordedBy(reader: TraceReader, conservativeWrites: boolean): string {
  const { header } = reader;
  if (reader.incomplete) return 'unknown (the trace has no header)';
  if (header.requiredForwardCompatibilityVersion < 3) return 'rr 5.5.0 or earlier';
  if (header.syscallbufFdsDisabledSize === 1024) return 'rr 5.6.0';
  if (header.syscallbufHdrSize === 30) return 'rr 5.7.0';
  return conservativeWrites ? 'rr 5.9.0 or later' : 'rr 5.8.0 or later';
}
