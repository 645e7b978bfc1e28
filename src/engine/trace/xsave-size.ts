import type { CpuidRecord } from './records.js';

const XSAVE_LEAF = 0xd;
const ANY_ECX = 0xffff_ffff;
/** Without XSAVE, extra registers are an FXSAVE image. */
const FXSAVE_BYTES = 512;

/** Size of the recorded XSAVE images: EBX of the recorded CPUID (0xD, 0). */
export function xsaveBytes(records: readonly CpuidRecord[]): number {
  const leaf = records.find((r) => r.eaxIn === XSAVE_LEAF && (r.ecxIn === 0 || r.ecxIn === ANY_ECX));
  return leaf && leaf.ebx > 0 ? leaf.ebx : FXSAVE_BYTES;
}
