import { gva, USER_END } from '../../base/address.js';
import type { GuestMemory } from '../../kvm/guest-memory.js';
import type { AddressSpace } from '../../mm/address-space.js';
import type { TaskCopies } from './checkpoint.js';

/** Pages that only checkpoints refer to may be a tenth of the others. */
const PART = 10;
/** They may be as many as this however small the program is: 4 MiB. */
const LEAST = 1024;
/** An eighth of what may be kept is left free when checkpoints are given up, so that pages are not counted again at once. */
const SLACK = 8;

/** How many pages only these copies of tasks refer to, with those of their page tables. */
export function countKept(memory: GuestMemory, copies: readonly TaskCopies[]): number {
  let tables = 0;
  const pages = memory.countHeld((visit) => {
    for (const { tasks, sharedObjects } of copies) {
      const spaces = new Set<AddressSpace>();
      for (const { space, threadLocals } of tasks) {
        spaces.add(space);
        if (threadLocals !== 0) visit(threadLocals);
      }
      for (const space of spaces) {
        tables += space.tables.size;
        space.visitResident(gva(0), gva(USER_END), (_, page) => visit(page));
      }
      for (const object of sharedObjects.values()) for (const [, page] of object) visit(page);
    }
  });
  return pages + tables;
}

/**
 * Limits the pages that checkpoints keep, beside those of the program: a page that the program stores to, or unmaps, is
 * kept by the checkpoints before. They are counted when memory has grown by what may be kept.
 * @param count of the pages that are kept
 * @param release gives up a checkpoint, also while the program runs; false: none can be spared
 */
export function limitKept(memory: GuestMemory, count: () => number, release: () => boolean): void {
  memory.mark = LEAST;
  memory.onMark = () => {
    memory.mark = Infinity;
    for (;;) {
      const kept = count();
      const most = Math.max(LEAST, (memory.pagesInUse - kept) / PART);
      const slack = most / SLACK;
      if (kept > most - slack && release()) continue;
      memory.mark = memory.pagesInUse + Math.max(most - kept, slack);
      return;
    }
  };
}
