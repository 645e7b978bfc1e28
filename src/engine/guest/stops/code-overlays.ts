import { PAGE_SIZE, type Gpa } from '../../base/address.js';
import type { GuestMemory } from '../../kvm/guest-memory.js';

/** INT3. It leaves by #BP, which costs an ordinary exit; #DB costs fifty times that where KVM is emulated. */
const INT3 = 0xcc;
const MAX_OVERLAYS = 64;

interface Overlay {
  readonly page: Gpa;
  /** What was copied: programs change code, and pages of the pool are used again. */
  readonly pristine: Uint8Array;
  offsets: readonly number[];
}

/**
 * Copies of code pages with breakpoint instructions in them, one for each page of the pool: the page itself
 * is never written, so address spaces that share it and checkpoints do not know of breakpoints.
 */
export class CodeOverlays {
  private readonly overlays = new Map<Gpa, Overlay>();

  constructor(private readonly memory: GuestMemory) {}

  /** The copy of `original` with INT3 at these offsets, ascending. */
  of(original: Gpa, offsets: readonly number[]): Gpa {
    const bytes = this.memory.bytes.subarray(original, original + PAGE_SIZE);
    let overlay = this.overlays.get(original);
    if (overlay && overlay.offsets === offsets && Buffer.compare(overlay.pristine, bytes) === 0)
      return overlay.page;
    if (!overlay) {
      if (this.overlays.size >= MAX_OVERLAYS) this.clear();
      overlay = {
        page: this.memory.allocateUninitialised(),
        pristine: new Uint8Array(PAGE_SIZE),
        offsets,
      };
      this.overlays.set(original, overlay);
      this.memory.markCode(overlay.page);
    }
    overlay.pristine.set(bytes);
    overlay.offsets = offsets;
    this.memory.willChange(overlay.page);
    this.memory.bytes.set(bytes, overlay.page);
    for (const offset of offsets) this.memory.bytes[overlay.page + offset] = INT3;
    return overlay.page;
  }

  /** Precondition: no page-table entry refers to an overlay. */
  clear(): void {
    for (const { page } of this.overlays.values()) this.memory.release(page);
    this.overlays.clear();
  }
}
