import type { Machine } from '../../engine/kvm/machine.js';
import { ProbeGuest } from '../../engine/kvm/probe-guest.js';
import type { BenchContext } from '../context.js';
import { formatMicros } from '../statistics.js';
import type { Row, Subject } from '../subject.js';

const TRACE = 'skylake-avx512/xcr0probe';
/** The same programs recorded with AVX-512 and without: those that are here. */
const PAIRS = ['tree', 'xcr0probe'].map((name) => [`skylake-avx512/${name}`, `haswell/${name}`] as const);
/** vpaddq %zmm1, %zmm17, %zmm17: leaves AVX to the processor. */
const ADD = [0x62, 0xe1, 0xf5, 0x40, 0xd4, 0xc9];
/** Ones in ZMM1 and ZMM2; then mulsd %xmm3, %xmm3, or paddw %mm3, %mm3, which a process steps meanwhile. */
const KEEP = [0x62, 0xf3, 0xf5, 0x48, 0x25, 0xc9, 0xff, 0x62, 0xf1, 0xfd, 0x48, 0x6f, 0xd1];
const SSE = [0xf2, 0x0f, 0x59, 0xdb];
const MMX = [0x0f, 0xfd, 0xdb];
const IN_A_ROW = 7;
const TURNS = 3000;
const INT3 = 0xcc;

/** `count` of an instruction, then dec %edi; jnz to the first; int3. */
function loopOf(instruction: readonly number[], count: number, before: readonly number[]): Uint8Array {
  const body = Array.from({ length: count }, () => instruction).flat();
  const back = new Uint8Array(Int32Array.of(-(body.length + 8)).buffer);
  return Uint8Array.from([...before, ...body, 0xff, 0xcf, 0x0f, 0x85, ...back, INT3]);
}

/** Microseconds a turn. */
function measure(
  { now }: BenchContext,
  machine: Machine,
  count: number,
  instruction: readonly number[] = ADD,
  before: readonly number[] = [],
): number {
  const guest = new ProbeGuest(machine);
  try {
    const begun = now();
    guest.run(loopOf(instruction, count, before), { rdi: BigInt(TURNS) });
    return ((now() - begun) * 1000) / TURNS;
  } finally {
    guest.close();
  }
}

async function replayMicros(context: BenchContext, name: string): Promise<number | null> {
  const folder = context.trace(name);
  if (folder === null) return null;
  return context.replay(folder, (session) => {
    const begun = context.now();
    while (session.advance(1000, 1_000_000) !== 'end');
    return (context.now() - begun) * 1000;
  });
}

export const completion: Subject = {
  name: 'completion',
  about:
    'AVX-512 in software: an instruction between others, one of several in a row, a recording with and without',
  async run(context): Promise<Row[]> {
    const folder = context.trace(TRACE);
    if (folder === null) return [];
    const [single, row, sse, mmx] = await context.onMachine(folder, ({ machine }) => {
      if (!machine.config.completion) return [null, null, null, null];
      const [alone, several] = [measure(context, machine, 1), measure(context, machine, IN_A_ROW)];
      const beside = [SSE, MMX].map((instruction) => measure(context, machine, 1, instruction, KEEP));
      return [alone, several, ...beside];
    });
    if (single === null || row === null)
      return [{ what: 'AVX-512 in software', measured: 'nothing is missing here' }];
    const each = (row - single) / (IN_A_ROW - 1);
    const rows: Row[] = [
      {
        what: 'an AVX-512 instruction between others',
        measured: formatMicros(single),
        aim: 'below 70 us, in a process 10 us',
      },
      { what: '  each further one in a row', measured: formatMicros(each), aim: 'below 3 us' },
      { what: '  instructions a second in such a row', measured: String(Math.round(1e6 / each)) },
      ...(sse === null
        ? []
        : [{ what: 'MULSD while an upper half is not zero', measured: formatMicros(sse) }]),
      ...(mmx === null ? [] : [{ what: 'MMX while an upper half is not zero', measured: formatMicros(mmx) }]),
    ];
    for (const pair of PAIRS) {
      for (const name of pair) {
        const micros = await replayMicros(context, name);
        if (micros !== null) rows.push({ what: name, measured: formatMicros(micros) });
      }
    }
    return rows;
  },
};
