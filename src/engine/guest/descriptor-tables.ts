/**
 * The segment descriptors that programs make for themselves: a local table an address space (modify_ldt) and three
 * slots of the global one a task (set_thread_area). Data segments; code in segments of their own is not run.
 */
import type { Gva } from '../base/address.js';
import { encodeDescriptor, isLoadable, readUserDesc, USER_DESC_BYTES } from '../base/descriptors.js';
import { Reg, type RegisterWords } from '../base/registers.js';
import type { ContextPage } from '../kvm/context-page.js';
import { EngineSelector } from '../kvm/layout.js';
import type { Task } from '../task/task.js';

const TABLE_LOCAL = 4;
const THREAD_SLOTS = 3;
const FIRST_SLOT = EngineSelector.tls / 8;
/** entry_number -1 of set_thread_area: the first free slot. */
const ANY_SLOT = 0xffff_ffff;
const MAX_LOCAL = 8192;

/** The task's tables are those of the vCPU from the next entry on. */
export function loadDescriptors(context: ContextPage, task: Task): void {
  context.setLocalDescriptors(task.space.ldt);
  context.setThreadDescriptors(task.threadDescriptors);
}

/** Selectors whose descriptor was removed, and which the processor would refuse, become null, as on Linux. */
export function dropUnloadable(task: Task, registers: RegisterWords): void {
  for (const slot of [Reg.ds, Reg.es, Reg.fs, Reg.gs]) {
    if (!mayLoad(task, registers[2 * slot] & 0xffff)) registers[2 * slot] = 0;
  }
}

function mayLoad(task: Task, selector: number): boolean {
  const local = (selector & TABLE_LOCAL) !== 0;
  const index = local ? selector >>> 3 : (selector >>> 3) - FIRST_SLOT;
  if (!local && (index < 0 || index >= THREAD_SLOTS)) return true;
  const table = local ? task.space.ldt : task.threadDescriptors;
  if (!table || 2 * index >= table.length) return false;
  return isLoadable([table[2 * index], table[2 * index + 1]]);
}

/**
 * modify_ldt's writing functions (arch/x86/kernel/ldt.c). Selectors that are loaded keep what they were loaded with.
 * @param old function 1, the first form; else 0x11
 */
export function writeLocalDescriptor(task: Task, pointer: Gva, old: boolean): void {
  const desc = readUserDesc(task.space.readExactly(pointer, USER_DESC_BYTES, 'the descriptor of modify_ldt'));
  if (desc.entry >= MAX_LOCAL) return;
  const before = task.space.ldt;
  const table = new Uint32Array(Math.max(2 * desc.entry + 2, before?.length ?? 0));
  if (before) table.set(before);
  table.set(encodeDescriptor(desc, old ? 'oldLdt' : 'ldt'), 2 * desc.entry);
  task.space.ldt = table;
}

/**
 * set_thread_area, by the task itself or its debugger (arch/x86/kernel/tls.c).
 * @param by the task whose memory has the descriptor
 * @param index entry of the global table, or -1 for what the descriptor says
 */
export function writeThreadDescriptor(target: Task, by: Task, pointer: Gva, index = -1): void {
  const desc = readUserDesc(
    by.space.readExactly(pointer, USER_DESC_BYTES, 'the descriptor of set_thread_area'),
  );
  const before = target.threadDescriptors;
  let slot = (index < 0 ? desc.entry : index) - FIRST_SLOT;
  if (index < 0 && desc.entry === ANY_SLOT) {
    slot = [0, 1, 2].find((free) => before[2 * free] === 0 && before[2 * free + 1] === 0) ?? -1;
  }
  if (slot < 0 || slot >= THREAD_SLOTS) return;
  const table = before.slice();
  table.set(encodeDescriptor(desc, 'tls'), 2 * slot);
  target.threadDescriptors = table;
}
