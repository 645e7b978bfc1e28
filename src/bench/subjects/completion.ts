import type { Machine } from '../../engine/kvm/machine.js';
import { ProbeGuest } from '../../engine/kvm/probe-guest.js';
import type { BenchContext } from '../context.js';
import { formatMicros } from '../statistics.js';
import type { Row, Subject } from '../subject.js';

const TRACE = 'skylake-avx512/xcr0probe';
const SAME_BELOW = 'haswell/xcr0probe';
/** vpaddq %zmm1, %zmm17, %zmm17: leaves AVX to the processor. */
const ADD = [0x62, 0xe1, 0xf5, 0x40, 0xd4, 0xc9];
const IN_A_ROW = 7;
const TURNS = 3000;
const INT3 = 0xcc;

/** `count` additions, then dec %edi; jnz to the first; int3. */
function loopOf(count: number): Uint8Array {
  const body = Array.from({ length: count }, () => ADD).flat();
  const back = new Uint8Array(Int32Array.of(-(body.length + 8)).buffer);
  return Uint8Array.from([...body, 0xff, 0xcf, 0x0f, 0x85, ...back, INT3]);
}

/** Microseconds a turn. */
function measure({ now }: BenchContext, machine: Machine, count: number): number {
  const guest = new ProbeGuest(machine);
  try {
    const begun = now();
    guest.run(loopOf(count), { rdi: BigInt(TURNS) });
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
    const [single, row] = await context.onMachine(folder, ({ machine }) => {
      if (!machine.config.completion) return [null, null];
      return [measure(context, machine, 1), measure(context, machine, IN_A_ROW)];
    });
    if (single === null || row === null)
      return [{ what: 'AVX-512 in software', measured: 'nothing is missing here' }];
    const each = (row - single) / (IN_A_ROW - 1);
    const [avx512, avx2] = [await replayMicros(context, TRACE), await replayMicros(context, SAME_BELOW)];
    return [
      { what: 'an AVX-512 instruction between others', measured: formatMicros(single), aim: 'below 70 us' },
      { what: '  each further one in a row', measured: formatMicros(each), aim: 'below 3 us' },
      { what: '  instructions a second in such a row', measured: String(Math.round(1e6 / each)) },
      ...(avx512 === null ? [] : [{ what: TRACE, measured: formatMicros(avx512) }]),
      ...(avx2 === null ? [] : [{ what: SAME_BELOW, measured: formatMicros(avx2) }]),
    ];
  },
};
