/**
 * Transfers checkpoints of one session to another on the same trace, through memory: that of a lost machine is still
 * readable.
 */
import { PAGE_SIZE, type Gpa } from '../base/address.js';
import type { Checkpoint } from '../replay/state/checkpoint.js';
import type { ReplaySession } from '../replay/session.js';
import { decodeCheckpoint } from './decode.js';
import { encodeCheckpoint } from './encode.js';

/** Pages that checkpoints share stay shared after the transfer. */
export class CheckpointTransfer {
  private readonly copies = new Map<Gpa, Gpa>();

  /**
   * @param from its vCPU may be lost; its memory is not
   * @param to of the same trace, with its own machine
   */
  constructor(
    private readonly from: ReplaySession,
    private readonly to: ReplaySession,
  ) {}

  /**
   * The same position in the other session, which does not move: restored (`restore`) and dropped there.
   * @throws RevenantError E_MEMORY_LIMIT
   */
  take(checkpoint: Checkpoint): Checkpoint {
    const { document, pages } = encodeCheckpoint(this.from.core, checkpoint);
    const copies = pages.map((page) => this.copyOf(page));
    return decodeCheckpoint(this.to.core, JSON.parse(JSON.stringify(document)), copies);
  }

  /** The transfer is complete: frees what no checkpoint uses. */
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
