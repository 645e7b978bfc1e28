/** Names of what a machine can lack, for messages to people. */

/** State and the extension that it belongs to, where that has another name. */
const xcr0Bits: Readonly<Record<number, readonly [state: string, extension?: string]>> = {
  0: ['x87'],
  1: ['SSE'],
  2: ['AVX'],
  3: ['BNDREGS', 'MPX'],
  4: ['BNDCSR', 'MPX'],
  5: ['opmask', 'AVX-512'],
  6: ['ZMM_Hi256', 'AVX-512'],
  7: ['Hi16_ZMM', 'AVX-512'],
  9: ['PKRU', 'protection keys'],
  17: ['XTILECFG', 'AMX'],
  18: ['XTILEDATA', 'AMX'],
  19: ['APX'],
};

/** The set bits of an XCR0 value by name, those of an extension together: "XCR0 bits 17, 18 (XTILECFG, XTILEDATA: AMX)". */
export function xcr0BitNames(bits: bigint): string {
  const groups: number[][] = [];
  for (let bit = 0; bit < 64; bit++) {
    if (!((bits >> BigInt(bit)) & 1n)) continue;
    const last = groups.at(-1);
    const extension = xcr0Bits[bit]?.[1];
    if (last && extension !== undefined && xcr0Bits[last[0]]?.[1] === extension) last.push(bit);
    else groups.push([bit]);
  }
  return groups.map(groupName).join(', ');
}

function groupName(bits: readonly number[]): string {
  const numbers = `XCR0 bit${bits.length > 1 ? 's' : ''} ${bits.join(', ')}`;
  const extension = xcr0Bits[bits[0]]?.[1];
  const states = bits.flatMap((bit) => xcr0Bits[bit]?.[0] ?? []).join(', ');
  if (states === '') return numbers;
  if (extension === undefined) return `${numbers} (${states})`;
  return bits.length > 1 ? `${numbers} (${states}: ${extension})` : `${numbers} (${states}, ${extension})`;
}

const cr4Bits: Readonly<Record<number, string>> = {
  2: 'CR4.TSD (trapping RDTSC)',
  11: 'CR4.UMIP (user-mode instruction prevention)',
  16: 'CR4.FSGSBASE (the WRFSBASE instructions)',
  18: 'CR4.OSXSAVE (XSAVE and XGETBV)',
  22: 'CR4.PKE (protection keys)',
};

/** "CR4.PKE (protection keys)". */
export const cr4BitName = (bit: number): string => cr4Bits[bit] ?? `CR4 bit ${bit}`;
