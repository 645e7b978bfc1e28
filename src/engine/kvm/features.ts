/** Names of what a machine can lack, for messages to people. */

const xcr0Bits: Readonly<Record<number, string>> = {
  0: 'x87',
  1: 'SSE',
  2: 'AVX',
  3: 'BNDREGS, MPX',
  4: 'BNDCSR, MPX',
  5: 'opmask, AVX-512',
  6: 'ZMM_Hi256, AVX-512',
  7: 'Hi16_ZMM, AVX-512',
  9: 'PKRU, protection keys',
  17: 'XTILECFG, AMX',
  18: 'XTILEDATA, AMX',
  19: 'APX',
};

/** "XCR0 bit 9 (PKRU, protection keys)". */
export function xcr0BitName(bit: number): string {
  const name = xcr0Bits[bit];
  return name === undefined ? `XCR0 bit ${bit}` : `XCR0 bit ${bit} (${name})`;
}

/** The set bits of an XCR0 value by name: "XCR0 bit 5 (opmask, AVX-512), XCR0 bit 6 (...)". */
export function xcr0BitNames(bits: bigint): string {
  const names: string[] = [];
  for (let bit = 0; bit < 64; bit++) if ((bits >> BigInt(bit)) & 1n) names.push(xcr0BitName(bit));
  return names.join(', ');
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
