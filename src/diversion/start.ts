import { PAGE_SIZE, offsetBy } from '../engine/base/address.js';
import type { Logger } from '../engine/base/log.js';
import type { AddressSpace } from '../engine/mm/address-space.js';
import { Prot } from '../engine/mm/vma.js';
import { GuestStops } from '../engine/guest/stops/guest-stops.js';
import type { MutableTarget } from '../engine/target.js';
import { copyTasks } from '../engine/replay/state/checkpoint.js';
import type { ReplayCore } from '../engine/replay/state/core.js';
import { GuestCore } from '../engine/guest/guest-core.js';
import { RecordedWorld } from '../engine/task/recorded-files.js';
import { noteAllMapped } from '../engine/replay/syscalls/facts/mapped.js';
import type { Task } from '../engine/task/task.js';
import { adoptTasks } from './begin.js';
import { RETURN_ADDRESS } from './call/caller.js';
import { DiversionClock, type ClockMode } from './base/clock.js';
import { Diversion } from './diversion.js';
import { randomOf } from './base/random.js';
import { recordedOffsets, standingTime } from './recorded-clocks.js';
import { FileSystem } from './files/file-system.js';
import { HostFiles, HostHandles, RealFolder } from './files/host-files.js';
import type { FileLayer } from './files/node.js';
import { Overlay } from './files/overlay.js';
import { RecordedDescriptors } from './devices/recorded.js';
import { SpecialFiles } from './devices/special.js';
import { TraceFiles } from './files/trace-files.js';
import { WorldFiles } from './files/world-files.js';
import { DiversionEnded, Kernel, type RecordedFacts } from './kernel/kernel.js';
import { DEFAULT_POLICY, type DiversionPolicy } from './base/policy.js';
import { TaskRunner } from './run/task-runner.js';
import { Scheduler } from './run/scheduler.js';
import { Stops } from './run/stops.js';
import { dispatcherFor } from './syscalls/table.js';

/** A stopped replay, without a running operation. */
export interface DiversionSource {
  readonly core: ReplayCore;
  /** The user's current task. */
  readonly tid: number;
  /** Debug registers stop data accesses on this machine (ProbeReport.dataBreakpoints); else pages are protected. */
  readonly dataBreakpoints?: boolean;
}

/**
 * Makes a diversion of a replay's current state. Until it is closed, the replay must not run; afterwards the replay is
 * unchanged.
 */
export function startDiversion(
  source: DiversionSource,
  policy: DiversionPolicy = DEFAULT_POLICY,
  log: Logger = source.core.log,
): MutableTarget {
  const { core: replay } = source;
  const parked = parkReplay(replay);
  const core = new GuestCore(replay);
  try {
    const { tasks, sharedObjects } = copyTasks(replay);
    for (const task of tasks) core.tasks.set(task.tid, task);
    for (const [key, object] of sharedObjects) core.sharedObjects.set(key, object);
    replay.memory.ceiling = replay.memory.pagesInUse + Math.ceil(policy.limits.memoryBytes / 4096);
    const output: { stream: 1 | 2; bytes: Uint8Array }[] = [];
    const world = tasks.length > 0 ? tasks[0].fds.files.world : new RecordedWorld();
    if (replay.notesFiles) tasks.forEach(noteAllMapped);
    const { kernel, files } = newKernel(source, core, policy, log, collector(output, policy), world);
    const descriptors = new RecordedDescriptors(kernel, world, files);
    for (const space of new Set(tasks.map((task) => task.space))) mapReturnPage(space);
    new SpecialFiles(kernel, files).install();
    adoptTasks(kernel, replay, descriptors, source.tid);
    descriptors.settle();
    kernel.openTerminal = () => descriptors.terminal;
    const stops = new GuestStops(core.machine, core.memory, source.dataBreakpoints ?? false);
    const runner = new TaskRunner(core, kernel.clock, stops);
    const scheduler = new Scheduler(kernel, runner, dispatcherFor(kernel), new Stops(stops));
    const end = (): void => {
      try {
        stops.clear();
        dropTasks(core);
        kernel.close();
      } finally {
        parked.resume();
      }
    };
    return new Diversion({ kernel, scheduler, output, tid: source.tid, end });
  } catch (error) {
    dropTasks(core);
    parked.resume();
    throw error;
  }
}

/** Takes the replay's task off the vCPU; `resume` puts everything back as it was. */
function parkReplay(replay: ReplayCore): { resume: () => void } {
  const { context } = replay.machine;
  const stop = context.saveStop();
  const task: Task | null = replay.current;
  const { ceiling } = replay.memory;
  if (task) replay.park(task);
  context.clearDebugRegisters();
  // To hide RDRAND and RDSEED, which are this machine's.
  if (!replay.machine.interceptCpuid(true)) replay.log.debug({}, 'CPUID cannot be intercepted');
  return {
    resume: () => {
      replay.machine.interceptCpuid(false);
      replay.memory.ceiling = ceiling;
      context.restoreStop(stop);
      if (task) replay.activate(task);
    },
  };
}

function dropTasks(core: GuestCore): void {
  core.current = null;
  core.machine.context.dropRequests();
  core.vacate();
  for (const task of [...core.tasks.values()]) core.removeTask(task);
}

/** Output until its limit; then the diversion is over. */
function collector(
  output: { stream: 1 | 2; bytes: Uint8Array }[],
  { limits }: DiversionPolicy,
): (stream: 1 | 2, bytes: Uint8Array) => void {
  let total = 0;
  return (stream, bytes) => {
    total += bytes.length;
    if (total > limits.outputBytes)
      throw new DiversionEnded(`It has written more than its limit of ${limits.outputBytes} bytes.`);
    output.push({ stream, bytes: bytes.slice() });
  };
}

/** Unwinders, exceptions and sanitizers read the code of callers; the outermost caller is this page. */
function mapReturnPage(space: AddressSpace): void {
  const end = offsetBy(RETURN_ADDRESS, PAGE_SIZE);
  space.map({
    start: RETURN_ADDRESS,
    end,
    prot: Prot.read,
    backing: null,
    offset: 0,
    name: '[call]',
    file: null,
  });
}

function newClock(replay: ReplayCore, mode: ClockMode, onGuess: () => void): DiversionClock {
  const offsets = recordedOffsets(replay);
  const { wall, leastWall, boot } = offsets;
  return new DiversionClock({
    mode,
    monotonic: standingTime(replay, offsets),
    wall: wall ?? leastWall,
    boot: boot ?? 0n,
    onGuess: wall === null ? onGuess : null,
  });
}

/** The same in each diversion of a place. */
function randomAt(replay: ReplayCore, tid: number): (into: Uint8Array) => void {
  const task = replay.tasks.get(tid);
  const registers = task ? replay.registers(task).slice() : new Uint32Array();
  const time = `${replay.recordedSec} ${tid}`;
  return randomOf(replay.header.uuid, time, new Uint8Array(registers.buffer));
}

function newKernel(
  { core: replay, tid }: DiversionSource,
  core: GuestCore,
  policy: DiversionPolicy,
  log: Logger,
  show: (stream: 1 | 2, bytes: Uint8Array) => void,
  world: RecordedWorld,
): { kernel: Kernel; files: WorldFiles } {
  const { header } = replay;
  const clock = newClock(replay, policy.clock, () =>
    kernel.warnOnce(
      'wall clock',
      {},
      'the recording never read the time of day: using the latest time of a file that it examined',
    ),
  );
  const facts: RecordedFacts = {
    rrcallBase: header.rrcallBase,
    syscallbufHdrSize: header.syscallbufHdrSize,
    cpu: Math.max(0, header.bindToCpu),
    release: header.uname.release || '6.1.0',
    nodeName: header.uname.nodename || 'revenant',
    boot: header.uuid,
    layout: replay.vectors.recorded,
  };
  const handles = new HostHandles();
  const traceFiles = new TraceFiles(
    (path) => replay.recordedFile(path),
    (path) => replay.recordedIdentity(path),
  );
  const below: FileLayer[] = [traceFiles, new HostFiles(handles)];
  const worldFiles = new WorldFiles(world, below, (path, message) =>
    kernel.warnOnce(`file ${path}`, { path }, message),
  );
  const overlay = new Overlay([worldFiles, ...below], replay.memory, {
    fileBytes: policy.limits.fileBytes,
    owner: { uid: 0, gid: 0 },
    now: () => clock.wall(),
  });
  const files = new FileSystem(
    overlay,
    policy.allowWrites.map((folder) => new RealFolder(folder)),
    log,
    handles,
  );
  const kernel: Kernel = new Kernel({
    core,
    files,
    policy,
    clock,
    facts,
    log,
    show,
    random: randomAt(replay, tid),
  });
  return { kernel, files: worldFiles };
}
