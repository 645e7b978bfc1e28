import { PAGE_SIZE, pageCeil, pageFloor, gva } from '../../engine/base/address.js';
import { Reg, setSigned } from '../../engine/base/registers.js';
import { Selector } from '../../engine/kvm/layout.js';
import type { AddressSpace } from '../../engine/mm/address-space.js';
import { isReserved } from '../../engine/mm/free.js';
import { Prot } from '../../engine/mm/vma.js';
import { NO_ALT_STACK } from '../../engine/task/signal-state.js';
import { auxvBytes } from '../../engine/task/initial-stack.js';
import { E, fail } from '../base/errno.js';
import type { FileContent } from '../files/node.js';
import type { Kernel } from '../kernel/kernel.js';
import { findGap } from '../base/placement.js';
import type { Thread } from '../kernel/process.js';
import { exitThread } from '../tasks/exit.js';
import { readElf, type ElfImage } from './elf-image.js';
import { composeStack } from './initial-stack.js';
import { nameOf } from '../../engine/base/names.js';

export interface ExecRequest {
  readonly directory: string;
  readonly path: string;
  readonly arguments: readonly string[];
  readonly environment: readonly string[];
}

interface Script {
  readonly interpreter: string;
  readonly argument: string | null;
}

const MAX_SCRIPTS = 5;
const SCRIPT_BYTES = 256;
/** Where the kernel loads programs that may go anywhere (ELF_ET_DYN_BASE), and the stack's end. */
const PROGRAM_BASE = 0x5555_5555_4000;
const STACK_END = 0x7fff_ffff_e000;
const STACK_BYTES = 132 << 10;
const EFLAGS_INITIAL = 0x202;
const NAME_LENGTH = 15;

/** Replaces the thread's program. The old one is changed only after everything that may fail. */
export function executeProgram(kernel: Kernel, thread: Thread, request: ExecRequest): void {
  const { process } = thread;
  const loaded = openProgram(kernel, thread, request);
  const image = readElf(loaded.content);
  const interpreter = image.interpreter === null ? null : openFile(kernel, thread, '/', image.interpreter);
  const interpreterImage = interpreter && readElf(interpreter.content);
  const space = kernel.core.newAddressSpace();
  let start: { entry: number; stack: number };
  try {
    const base = loadImage(kernel, space, loaded, image, image.movable ? PROGRAM_BASE : 0);
    const linkerBase =
      interpreter && interpreterImage ? loadImage(kernel, space, interpreter, interpreterImage, null) : 0;
    const entry = image.entry + base;
    const stack = pushStack(kernel, thread, space, { loaded, image, base, linkerBase, entry, request });
    start = { entry: interpreterImage ? interpreterImage.entry + linkerBase : entry, stack };
  } catch (error) {
    space.destroy();
    throw error;
  }
  for (const other of [...process.threads]) if (other !== thread) exitThread(kernel, other, 0);
  enter(kernel, thread, space, start, loaded);
}

interface Loaded {
  readonly path: string;
  readonly content: FileContent;
  readonly arguments: readonly string[];
}

function openFile(kernel: Kernel, thread: Thread, directory: string, path: string): Loaded {
  const { node, path: at } = kernel.files.walk(directory, path, true, thread.process.pid);
  if (!node) fail(E.ENOENT);
  if (node.kind !== 'file') fail(E.EACCES);
  if ((node.content.stat().mode & 0o111) === 0) fail(E.EACCES);
  return { path: at, content: node.content, arguments: [] };
}

/** The program itself, or the interpreter of a script with the arguments that it gets. */
function openProgram(kernel: Kernel, thread: Thread, request: ExecRequest): Loaded {
  let { directory, path } = request;
  let list = request.arguments;
  for (let depth = 0; depth < MAX_SCRIPTS; depth++) {
    const loaded = openFile(kernel, thread, directory, path);
    const script = scriptOf(loaded.content);
    if (!script) return { ...loaded, arguments: list };
    const own = script.argument === null ? [] : [script.argument];
    list = [script.interpreter, ...own, path, ...list.slice(1)];
    path = script.interpreter;
    directory = '/';
  }
  return fail(E.ELOOP);
}

function scriptOf(content: FileContent): Script | null {
  const bytes = new Uint8Array(SCRIPT_BYTES);
  const text = nameOf(bytes.subarray(0, content.read(0, bytes)));
  const match = /^#![ \t]*([^ \t\n]+)[ \t]*([^\n]*?)[ \t]*(?:\n|$)/.exec(text);
  return match && { interpreter: match[1], argument: match[2] === '' ? null : match[2] };
}

const protOf = (flags: number): number =>
  (flags & 4 ? Prot.read : 0) | (flags & 2 ? Prot.write : 0) | (flags & 1 ? Prot.exec : 0);

/**
 * Maps the segments.
 * @param base offset of addresses; null: in any free range
 * @returns the offset
 */
function loadImage(
  kernel: Kernel,
  space: AddressSpace,
  { path, content }: Loaded,
  image: ElfImage,
  base: number | null,
): number {
  const { segments } = image;
  if (segments.length === 0) fail(E.ENOEXEC);
  const low = pageFloor(segments[0].address);
  const high = Math.max(...segments.map(({ address, memorySize }) => pageCeil(address + memorySize)));
  const bias = base ?? (findGap(space, high - low) ?? fail(E.ENOMEM)) - low;
  const backing = kernel.fileBacking(content, path);
  const { device, inode } = content.stat();
  for (const { flags, offset, address, fileSize, memorySize } of segments) {
    const start = gva(pageFloor(address + bias));
    const fileEnd = gva(pageCeil(address + bias + fileSize));
    const end = gva(pageCeil(address + bias + memorySize));
    if (start < PAGE_SIZE || end > STACK_END) fail(E.ENOEXEC);
    if (isReserved(space, start, end)) fail(E.ENOMEM);
    const at = pageFloor(offset);
    const prot = protOf(flags);
    const file = { path, device: BigInt(device), inode: BigInt(inode), offset: at };
    if (fileEnd > start) space.map({ start, end: fileEnd, prot, backing, offset: at, name: path, file });
    if (end > fileEnd)
      space.map({ start: fileEnd, end, prot, backing: null, offset: 0, name: '', file: null });
    // To the end of the page, as padzero() does: the dynamic linker's first allocations are there.
    const zeros = memorySize > fileSize ? fileEnd - (address + bias + fileSize) : 0;
    if (zeros > 0) space.write(gva(address + bias + fileSize), new Uint8Array(zeros));
  }
  if (base !== null) space.brk = space.brkStart = pageCeil(high + bias);
  return bias;
}

interface StackFacts {
  readonly loaded: Loaded;
  readonly image: ElfImage;
  readonly base: number;
  readonly linkerBase: number;
  readonly entry: number;
  readonly request: ExecRequest;
}

/** Maps the stack and puts arguments, environment and auxiliary vector on it; returns rsp. */
function pushStack(kernel: Kernel, thread: Thread, space: AddressSpace, facts: StackFacts): number {
  const { image, base, request, loaded } = facts;
  const [first] = image.segments;
  const random = new Uint8Array(16);
  kernel.random(random);
  const { stackPointer, bytes } = composeStack(STACK_END, {
    path: loaded.path,
    arguments: loaded.arguments,
    environment: withoutRecorder(request.environment),
    random,
    headers: first.address - first.offset + image.headersAt + base,
    headerCount: image.headerCount,
    linkerBase: facts.linkerBase,
    entry: facts.entry,
    credentials: thread.process.credentials,
  });
  const size = Math.max(STACK_BYTES, pageCeil(bytes.length + STACK_BYTES));
  const exec = image.executableStack ? Prot.exec : 0;
  space.map({
    start: gva(STACK_END - size),
    end: gva(STACK_END),
    prot: Prot.read | Prot.write | exec,
    backing: null,
    offset: 0,
    name: '[stack]',
    file: null,
  });
  space.write(gva(stackPointer), bytes);
  return stackPointer;
}

/** The recorder's library belongs to the recording: programs started here run without it. */
function withoutRecorder(environment: readonly string[]): string[] {
  const own = /^(_RR_|RUNNING_UNDER_RR=)/;
  return environment.flatMap((entry) => {
    if (own.test(entry)) return [];
    if (!entry.startsWith('LD_PRELOAD=')) return [entry];
    const kept = entry
      .slice('LD_PRELOAD='.length)
      .split(/[ :]/)
      .filter((name) => name !== '' && !name.includes('librr'));
    return kept.length === 0 ? [] : [`LD_PRELOAD=${kept.join(':')}`];
  });
}

function enter(
  kernel: Kernel,
  thread: Thread,
  space: AddressSpace,
  { entry, stack }: { entry: number; stack: number },
  loaded: Loaded,
): void {
  const { core } = kernel;
  const { task, process } = thread;
  if (core.current === task) core.park(task);
  core.releaseSpace(task);
  space.users++;
  task.space = space;
  if (task.threadLocals !== 0) core.memory.release(task.threadLocals);
  task.threadLocals = 0 as typeof task.threadLocals;
  task.preload = { globals: gva(0), breakpointInstruction: gva(0), syscallHook: gva(0) };
  task.syscallbuf = task.clearTid = task.robustList = gva(0);
  task.rseq = null;
  task.xstate = null;
  task.altStack = NO_ALT_STACK;
  task.name = loaded.path.slice(loaded.path.lastIndexOf('/') + 1).slice(0, NAME_LENGTH);
  task.registers.fill(0);
  setSigned(task.registers, Reg.rip, entry);
  setSigned(task.registers, Reg.rsp, stack);
  setSigned(task.registers, Reg.cs, Selector.userCs);
  setSigned(task.registers, Reg.ss, Selector.userSs);
  setSigned(task.registers, Reg.eflags, EFLAGS_INITIAL);
  const actions = process.actions.clone();
  actions.resetForExec();
  process.actions = actions;
  process.descriptors = ownDescriptors(process.descriptors);
  process.descriptors.closeForExec();
  process.program = {
    path: loaded.path,
    arguments: loaded.arguments,
    initialStack: gva(stack),
    auxv: auxvBytes(space, gva(stack)),
    file: loaded.path,
  };
  thread.releaseParent?.();
  thread.releaseParent = null;
  kernel.event = { kind: 'exec', tid: thread.tid, path: loaded.path };
}

function ownDescriptors(table: Thread['process']['descriptors']): Thread['process']['descriptors'] {
  if (table.users === 1) return table;
  const copy = table.clone();
  table.leave();
  return copy;
}
