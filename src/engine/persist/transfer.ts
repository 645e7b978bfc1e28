/** Checkpoints of one session for another on the same trace, through memory: what a lost machine leaves is readable. */
import { PAGE_SIZE, type Gpa } from '../base/address.js';
import type { Checkpoint } from '../replay/state/checkpoint.js';
import type { ReplaySession } from '../replay/session.js';
import { decodeCheckpoint } from './decode.js';
import { encodeCheckpoint } from './encode.js';

/** Pages that checkpoints share are shared by what becomes of them, too. */
export class CheckpointTransfer {
  private readonly copies = new Map<Gpa, Gpa>();

  /**
   * @param from its vCPU may be gone; its memory is not
   * @param to of the same trace, with a machine of its own
   */
  constructor(
    private readonly from: ReplaySession,
    private readonly to: ReplaySession,
  ) {}

  /**
   * The same moment in the other session, which does not move: to be gone to (`restore`) and dropped there.
   * @throws RevenantError E_MEMORY_LIMIT
   */
  take(checkpoint: Checkpoint): Checkpoint {
    const { document, pages } = encodeCheckpoint(this.from.core, checkpoint);
    const copies = pages.map((page) => this.copyOf(page));
    return decodeCheckpoint(this.to.core, JSON.parse(JSON.stringify(document)), copies);
  }

  /** Everything is taken: what no checkpoint has is given back. */
  close(): void {
    const { memory } = this.to.core;
    for (const copy of this.copies.values()) memory.release(copy);
    this.copies.clear();
  }

  private copyOf(page: Gpa): Gpa {
    const known = this.copies.get(page);
    if (known !== undefined) return known;
    const { memory } = this.to.core;
    const copy = memory.allocateUninitialised();
    this.copies.set(page, copy);
    const bytes = this.from.core.memory.bytes;
    memory.bytes.set(bytes.subarray(page, page + PAGE_SIZE), copy);
    return copy;
  }
}
