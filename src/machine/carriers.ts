/** Which machines can replay a trace, as far as can be told without waiting for one to start. */
import { RevenantError } from '../engine/base/errors.js';
import type { TraceHeader } from '../engine/trace/records.js';
import type { TraceUse } from '../engine/trace/use.js';
import { openTransport, tryMachine } from './choose.js';
import { MACHINE_KINDS, type MachineKind } from './kinds.js';
import { configure } from './launch.js';
import { EMULATED_XCR0, judge, traceRequirements, type Compatibility } from './requirements.js';
import { judgeUse } from './use.js';

export interface Carrier extends Compatibility {
  readonly kind: MachineKind;
  /** False: it would have to be started first, and was judged by what it is known to have. */
  readonly tried: boolean;
}

/** Every machine of this computer, in the order in which `auto` tries them. */
export async function carriersOf(header: TraceHeader, use: TraceUse): Promise<Carrier[]> {
  const carriers: Carrier[] = [];
  for (const kind of MACHINE_KINDS) carriers.push(await judgeCarrier(kind, header, use));
  return carriers;
}

async function judgeCarrier(kind: MachineKind, header: TraceHeader, use: TraceUse): Promise<Carrier> {
  const unfit = judgeUse(kind, use);
  if (!unfit.ok) return { kind, tried: false, ...unfit };
  try {
    if (kind === 'emulated') return { kind, tried: false, ...judgeEmulated(header) };
    const transport = await openTransport(kind, { use });
    try {
      return { kind, tried: true, ...tryMachine(transport, header, true, use).compatibility };
    } finally {
      transport.close();
    }
  } catch (error) {
    if (!(error instanceof RevenantError)) throw error;
    return { kind, tried: false, ok: false, reasons: [error.message], notes: [], hint: error.hint };
  }
}

/** CPUID leaf with the number of address bits. */
const ADDRESS_SIZES = 0x8000_0008;

/** Of the default one, which is not started for this. Throws E_MACHINE_START where a part of it is missing. */
function judgeEmulated(header: TraceHeader): Compatibility {
  const { cpu } = configure({});
  return judge(traceRequirements(header), {
    kind: 'emulated',
    description: `QEMU emulator, ${cpu}`,
    xcr0: EMULATED_XCR0,
    cpuid: header.cpuidRecords.filter(({ eaxIn }) => eaxIn !== ADDRESS_SIZES),
    completes: true,
    probeReport: null,
  });
}
