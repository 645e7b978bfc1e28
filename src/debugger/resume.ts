/** Resuming: gdb's request, the target's run, and which of its stops are reported to gdb. */
import { gva } from '../engine/base/address.js';
import { RevenantError } from '../engine/base/errors.js';
import { getRegister, Reg } from '../engine/base/registers.js';
import type { DebugStop, DebugTarget, LifecycleKind, RunRequest, Watchpoint } from '../engine/target.js';
import { isLoss } from '../recording/losses.js';
import { nextTurn, untilStop } from '../recording/stops.js';
import { noteDivertedStop, takeOutput } from './diverted.js';
import { changeAddress } from './modules.js';
import { PacketError } from './packet/fields.js';
import { programOf } from './program.js';
import { callBegins, callReturned, hasChanges, isInCall, type Diversion } from './calls.js';
import type { Session } from './session.js';
import { edgeReply, endOf, exitReply, hereReply, replyOf, vforkDoneReply } from './stops.js';

/** Events that can be reported to gdb; the end of a vfork is implied by the child's exec. */
function lifecycleKinds(session: Session): LifecycleKind[] {
  const { features } = session.client;
  const kinds: LifecycleKind[] = [];
  if (features.has('fork-events')) kinds.push('fork');
  if (features.has('vfork-events')) kinds.push('vfork');
  if (features.has('exec-events') || features.has('vfork-events')) kinds.push('exec');
  return kinds;
}

/** Runs and returns the stop reply. Throws RevenantError when the replay cannot go on. */
export async function resume(session: Session, request: RunRequest): Promise<string> {
  session.between = null;
  const waiting = session.pending.shift();
  if (waiting) return remember(session, waiting());
  if (session.failed) return giveUp(session, session.failed);
  if (session.isDiversionSpent()) session.endDiversion();
  if (session.diversion) await beforeRun(session, session.diversion, request);
  const { diversion } = session;
  if (diversion && request.direction === 'backward')
    return refuse(session, `[diversion: it has no history, it cannot run backwards; ${WAY_BACK}]`);
  if (diversion?.over) return leaveOver(session, diversion.explicit, diversion.over);
  if (!diversion && session.edge === edgeOf(request)) return remember(session, edgeAgain(session));
  if (session.reborn && !diversion) {
    session.reborn = false;
    const { tid } = session.currentTask();
    const address = Number(getRegister(session.target.registers(tid), Reg.rip));
    if (session.breakpoints.kindAt(address) !== null)
      return remember(session, replyOf(session, { kind: 'breakpoint', tid, address: gva(address) }));
  }
  session.interruptRequested = false;
  if (!diversion) session.edge = null;
  const { target } = session;
  session.breakpoints.sync(target, request.direction);
  const seen = session.breakpoints.tested(target).map((watch) => ({ watch, bytes: bytesOf(session, watch) }));
  target.catchLifecycle(lifecycleKinds(session));
  target.catchSyscalls(session.client.catchSyscalls);
  session.replay.passSignals(session.client.passSignals);
  let next = request;
  for (;;) {
    const stop = await runOnce(session, target, next);
    if (!stop) return giveUp(session, null);
    if (diversion) await afterStop(session, diversion, stop);
    const reply = diversion ? noteDivertedStop(session, stop) : await judge(session, stop, request);
    if (reply !== null) return remember(session, throughEarlier(session, stop, request, seen) ?? reply);
    // A signal that is not reported to gdb is still delivered to the program.
    next = {
      ...request,
      ...(stop.kind === 'signal' ? { tid: stop.tid, signal: stop.signal } : { signal: 0 }),
    };
  }
}

interface SeenValue {
  readonly watch: Pick<Watchpoint, 'address' | 'length'>;
  readonly bytes: Uint8Array;
}

function bytesOf({ target }: Session, { address, length }: SeenValue['watch']): Uint8Array {
  const bytes = new Uint8Array(length);
  target.readMemory(target.currentTid, address, bytes);
  return bytes;
}

/**
 * gdb prints the old value with the new one, and has it from the hit before, which it has not seen if its condition did not
 * hold: it gets a stop with that value first, and runs on.
 * @param seen what was watched when the run began
 * @returns that stop's reply, or null if gdb needs none
 */
function throughEarlier(
  session: Session,
  stop: DebugStop,
  { direction }: RunRequest,
  seen: readonly SeenValue[],
): string | null {
  if (stop.kind !== 'watchpoint' || !stop.values) return null;
  const last = seen.find(({ watch }) => watch.address === stop.address);
  const bytes = direction === 'forward' ? stop.values.before : stop.values.after;
  const rip = Number(getRegister(session.target.registers(stop.tid), Reg.rip));
  // A breakpoint there would be a stop for its user.
  if (!last || Buffer.compare(last.bytes, bytes) === 0 || session.breakpoints.kindAt(rip) !== null)
    return null;
  session.pending.push(() => replyOf(session, stop));
  session.between = { address: stop.address, bytes };
  return replyOf(session, stop);
}

/** Runs to the target's next stop; null when it failed for good. */
async function runOnce(
  session: Session,
  target: DebugTarget,
  request: RunRequest,
): Promise<DebugStop | null> {
  try {
    target.begin(request);
    return await poll(session, target);
  } catch (error) {
    if (!(error instanceof RevenantError) || error.code === 'E_INTERNAL') throw error;
    const { diversion } = session;
    if (isLoss(error) && diversion && !diversion.lent) return leaveLost(session, error);
    if (diversion) diversion.over = error.message;
    else session.failed = error;
    diversion?.lent?.failed(error);
    session.failure(error);
    return null;
  }
}

/** A diversion was lost with its machine: the replay is at its starting point, on another machine. */
async function leaveLost(session: Session, loss: RevenantError): Promise<null> {
  try {
    await session.recover(loss);
  } catch (error) {
    if (!(error instanceof RevenantError) || error.code === 'E_INTERNAL') throw error;
    session.failed = error;
    session.failure(error);
  }
  return null;
}

/** Only the position can be reported. */
function giveUp(session: Session, again: RevenantError | null): string {
  if (again) session.failure(again);
  return remember(session, hereReply(session));
}

const WAY_BACK = 'back to the replay with: monitor diversion end';

/**
 * A diversion is about to run: for a call that gdb has prepared, or with the user's changes, which
 * is reported once. A diversion cannot run backwards: if only calls have run in it, the changes are
 * discarded.
 */
async function beforeRun(session: Session, diversion: Diversion, { direction }: RunRequest): Promise<void> {
  if (direction === 'backward') {
    if (diversion.explicit || isInCall(diversion)) return;
    session.say('[diversion: changes are discarded, the replay goes back as recorded]');
    return session.endDiversion();
  }
  const caller = callBegins(diversion, session.breakpoints);
  if (caller !== null) return withBuffers(session, diversion, 'before', caller);
  if (!diversion.explicit && hasChanges(diversion)) {
    diversion.explicit = true;
    session.say(`[diversion: the program continues with the changes; ${WAY_BACK}]`);
  }
  if (diversion.explicit && !diversion.lent && !isInCall(diversion)) diversion.buffers?.runsOn();
}

/** Ctrl-C ends what is done about buffers, not the call. */
async function withBuffers(
  session: Session,
  { buffers, target, over }: Diversion,
  when: 'before' | 'after',
  tid: number,
): Promise<void> {
  if (!buffers || over !== null) return;
  await buffers[when](tid, async () => {
    await nextTurn();
    if (session.interruptRequested || session.closed) target.interrupt();
  });
  takeOutput(session);
}

/** A call that has returned may have allocated memory, which gdb then fills, and may have printed. */
async function afterStop(session: Session, diversion: Diversion, stop: DebugStop): Promise<void> {
  diversion.ran = true;
  if (stop.kind !== 'step' || stop.tid === diversion.lastWritten) diversion.lastWritten = null;
  if (!callReturned(diversion, stop)) return;
  diversion.allocated = getRegister(diversion.target.registers(stop.tid), Reg.rax);
  await withBuffers(session, diversion, 'after', stop.tid);
}

/** A diversion that a command began is ended by a command; one that a call began is no longer needed. */
function leaveOver(session: Session, explicit: boolean, over: string): string {
  if (explicit)
    return refuse(session, `[diversion: it cannot go on: ${over} Leave it with: monitor diversion end]`);
  session.endDiversion();
  return refuse(session, '[diversion: left; back in the replay, as it was]');
}

/** Polls the current operation until it stops, with turns for Ctrl-C in between. */
export async function poll(session: Session, target = session.target): Promise<DebugStop> {
  const stop = await untilStop(target, () => turnOf(session, target));
  takeOutput(session);
  return stop;
}

async function turnOf(session: Session, target: DebugTarget): Promise<void> {
  takeOutput(session);
  await (target.waiting ?? nextTurn());
  if (session.interruptRequested || session.closed) target.interrupt();
}

const edgeOf = ({ direction }: RunRequest): 'begin' | 'end' => (direction === 'forward' ? 'end' : 'begin');

/** With rr's semantics, a process exits when it is run past its end. */
function edgeAgain(session: Session): string {
  const { edge, target } = session;
  if (!session.asRr || edge !== 'end') return edgeReply(session, edge ?? 'begin', target.currentTid);
  const { pid } = session.currentTask();
  session.gone = true;
  return exitReply(session, pid, 0);
}

function refuse(session: Session, text: string): string {
  session.say(text);
  return remember(session, hereReply(session));
}

function remember(session: Session, reply: string): string {
  session.lastStop = reply;
  return reply;
}

/** The reply to a stop of the replay, or null where gdb is not concerned and it runs on. */
function judge(
  session: Session,
  stop: DebugStop,
  request: RunRequest,
): string | null | Promise<string | null> {
  const backward = request.direction === 'backward';
  const task = session.taskOf(stop.tid);
  const concerns = task !== undefined && session.attached.has(task.pid);
  switch (stop.kind) {
    case 'signal':
      return concerns ? replyOf(session, stop) : null;
    case 'fork':
    case 'vfork':
      return backward ? birth(session, stop.child) : concerns ? forked(session, stop) : null;
    case 'exec':
      return executed(session, stop, concerns, backward);
    case 'exited':
      return exited(session, stop);
    case 'history-end':
      return edgeReached(session, edgeOf(request), stop.tid);
    case 'clone':
      return null;
    case 'syscall':
      return concerns ? replyOf(session, stop) : null;
    case 'interrupted':
      return session.closed || session.interruptRequested ? replyOf(session, stop) : null;
    case 'breakpoint':
      return backward && isOwnBreakpoint(session, stop) ? null : replyOf(session, stop);
    case 'step':
    case 'watchpoint':
    case 'ended':
      return replyOf(session, stop);
  }
}

/**
 * LLDB detects libraries by a breakpoint in the dynamic linker, which it continues over by itself,
 * except when its front ends send `bc` as a raw packet.
 */
function isOwnBreakpoint(session: Session, { tid, address }: DebugStop & { address: number }): boolean {
  return session.client.isLldb && changeAddress(session.target, tid, session.pidOf(tid)) === address;
}

/** Backwards at a fork: if gdb is attached to no process that existed before, its history begins here. */
function birth(session: Session, childTid: number): Promise<string> | null {
  const child = session.taskOf(childTid);
  if (!child || !session.attached.has(child.pid)) return null;
  const others = session.tasks().some(({ pid }) => pid !== child.pid);
  return others ? null : edgeReached(session, 'begin', childTid);
}

/** For a client that was at the very end, nothing would be left: the program stays right before it. */
async function edgeReached(session: Session, edge: 'begin' | 'end', tid: number): Promise<string> {
  if (session.tasks().length === 0) await (edge === 'end' ? beforeLastEnd(session) : toBirth(session));
  session.edge = edge;
  const pid = [...session.attached].at(0) ?? 0;
  return session.tasks().length === 0 ? exitReply(session, pid, 0) : edgeReply(session, edge, tid);
}

/**
 * Before the processes that gdb is attached to exist, there is nothing to show: stops where the first of them starts to
 * exist.
 */
async function toBirth(session: Session): Promise<void> {
  const first = firstBirth(session);
  if (!first) return;
  session.replay.beginGoto(first.frame);
  await poll(session, session.replay);
  session.select(first.pid);
}

/** The attached process that starts to exist first, and its frame. */
function firstBirth(session: Session): { pid: number; frame: number } | null {
  let first: { pid: number; frame: number } | null = null;
  for (const pid of session.attached) {
    const frame = session.facts.birthOf(pid);
    if (frame !== null && (!first || frame < first.frame)) first = { pid, frame };
  }
  return first;
}

/**
 * Before the first program no task exists: runs to where the first attached process starts. Returns whether it had to.
 */
async function behindFirstBirth(session: Session): Promise<boolean> {
  const { replay } = session;
  const asked = replay.frameTime;
  const first = firstBirth(session);
  if (replay.tasks().length > 0 || !first || first.frame <= asked) return false;
  await toBirth(session);
  session.say(`[after frame ${asked} there is no program yet: process ${first.pid} begins here]`);
  return true;
}

function forked(session: Session, stop: DebugStop & { child: number }): string | null {
  const { features } = session.client;
  if (!features.has(`${stop.kind}-events`)) return null;
  const parent = session.pidOf(stop.tid);
  const child = session.pidOf(stop.child);
  session.attach(child);
  if (stop.kind === 'vfork') session.vforks.set(child, { pid: parent, tid: stop.tid });
  return replyOf(session, stop);
}

/**
 * gdb holds the parent of a vfork whose child it detached from: it must be notified when the child no longer shares the
 * memory.
 */
function vforkDone(session: Session, child: number): string | null {
  const parent = session.vforks.get(child);
  session.vforks.delete(child);
  if (!parent || session.attached.has(child) || !session.attached.has(parent.pid)) return null;
  return vforkDoneReply(session, parent.tid);
}

/** In both directions gdb is notified of the program that a process now runs. */
function executed(
  session: Session,
  stop: DebugStop & { kind: 'exec' },
  concerns: boolean,
  backward: boolean,
): string | null | Promise<string> {
  const pid = session.pidOf(stop.tid);
  const done = backward ? null : vforkDone(session, pid);
  if (done !== null) return done;
  if (!concerns || !session.client.features.has('exec-events')) return null;
  // Execs before the start of debugging are found by another pass, from where the process starts to exist.
  const isNew = session.replay.frameTime > session.startFrame;
  if (session.asRr && !backward && isNew) return beforeExec(session, stop.tid);
  const path = programOf(session.target, pid);
  session.programs.set(pid, path);
  return replyOf(session, { ...stop, path });
}

/** With rr's semantics a process stops right before it executes another program. */
async function beforeExec(session: Session, tid: number): Promise<string> {
  const { replay } = session;
  const frame = replay.frameTime;
  replay.beginGoto(frame - 1);
  await poll(session, replay);
  session.say(`[another program is executed here; to debug it: run ${frame}]`);
  return hereReply(session, tid);
}

/**
 * While gdb is attached to another live process, the exit is reported. After the last exit nothing
 * could be inspected or run backwards: the program stops right before it, with all threads that end
 * together.
 */
async function exited(session: Session, stop: DebugStop & { kind: 'exited' }): Promise<string | null> {
  const done = vforkDone(session, stop.pid);
  if (done !== null) return done;
  if (!session.attached.has(stop.pid)) return null;
  const others = session.tasks().some(({ pid }) => pid !== stop.pid);
  if (others) return exitReply(session, stop.pid, stop.status ?? 0);
  await beforeEndOf(session, stop);
  session.say(`[process ${stop.pid} ${endOf(stop.status)} here]`);
  return edgeReached(session, 'end', session.currentTask().tid);
}

/** Threads of a process that end together do so in several frames: goes back to before the first of them. */
async function beforeEndOf(session: Session, { pid }: { pid: number }): Promise<void> {
  const { replay, facts } = session;
  const end = replay.frameTime + 1;
  const { frame, tid } = facts.jointEnd(end);
  if (frame >= end) return;
  replay.beginGoto(frame - 1);
  await poll(session, replay);
  session.select(session.taskOf(tid)?.pid === pid ? tid : pid);
}

/**
 * Completes a run to a place that `begin` started: a jump in time, not a run requested by gdb. gdb
 * gets the position when it next runs: see `Session.pending`.
 */
export async function jump(session: Session, begin: () => void): Promise<void> {
  leaveCall(session);
  session.edge = null;
  session.interruptRequested = false;
  session.vforks.clear();
  begin();
  await poll(session, session.replay);
  session.select(session.replay.currentTid);
  const isEarly = await behindFirstBirth(session);
  if (!isEarly && (await beforeLastEnd(session)) && session.asRr) session.edge = 'end';
  const task = session.taskOf(session.replay.currentTid);
  if (task && session.tasks().length === 0) session.attach(task.pid);
  announce(session);
}

/**
 * The same for a place in the user's notation. Throws PacketError if there is no such place, or on Ctrl-C: the program
 * has then not moved.
 */
export async function jumpTo(session: Session, place: string): Promise<void> {
  const { replay } = session;
  leaveCall(session);
  session.interruptRequested = false;
  try {
    const tid = await session.options.goTo(place, () => turnOf(session, replay));
    session.edge = null;
    session.vforks.clear();
    session.select(tid);
    announce(session);
  } catch (error) {
    if (!(error instanceof RevenantError) || !['E_USAGE', 'E_INTERRUPTED'].includes(error.code)) throw error;
    throw new PacketError([error.message, error.hint].filter(Boolean).join(' '));
  }
}

/**
 * After the last exit nothing could be inspected or run backwards: stops right before it. Returns whether it had to.
 */
async function beforeLastEnd(session: Session): Promise<boolean> {
  const { replay } = session;
  const asked = replay.frameTime;
  while (replay.tasks().length === 0 && replay.frameTime > 1) {
    replay.beginGoto(replay.frameTime - 1);
    await poll(session, replay);
  }
  if (replay.frameTime === asked) return false;
  const last = replay.tasks().at(0);
  if (last) await beforeEndOf(session, last);
  session.say(`[after frame ${asked} nothing is left of the program: it is stopped right before its end]`);
  return true;
}

/** A jump ends a diversion that a call or a change began. Throws PacketError if a command began it. */
export function leaveCall(session: Session): void {
  if (session.diversion?.explicit) throw new PacketError('a diversion is open: end it first');
  session.endDiversion();
}

/** gdb will get the new position, and before it, if the program changed, that program. */
export function announce(session: Session): void {
  session.pending.length = 0;
  const { pid, tid } = session.currentTask();
  const path = programOf(session.target, pid);
  const known = session.programs.get(pid);
  if (known !== undefined && known !== path && session.client.features.has('exec-events')) {
    session.pending.push(() => replyOf(session, { kind: 'exec', tid, path }));
  }
  session.programs.set(pid, path);
  session.pending.push(() => arrivalReply(session, tid));
}

/** gdb shows the place after a jump in time; with rr's semantics an end is reported then, too. */
export const arrivalReply = (session: Session, tid: number): string =>
  session.edge === null ? hereReply(session, tid) : edgeReply(session, session.edge, tid);
