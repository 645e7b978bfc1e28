/** A trace as if it had been recorded on a processor that lays out XSAVE areas otherwise. */
import { TraceReader } from '../../src/engine/trace/reader.js';
import type { TraceHeader } from '../../src/engine/trace/records.js';
import { convertImage } from '../../src/engine/x86/xstate-image.js';
import { recordedLayout } from '../../src/engine/x86/xstate-layout.js';

const LEAF = 0xd;

/** The trace with another processor in its header; frames have their images in that one's layout. */
function recordedAs(
  trace: TraceReader,
  processor: Partial<Pick<TraceHeader, 'cpuidRecords' | 'xcr0'>>,
): TraceReader {
  const { header } = trace;
  const real = recordedLayout(header.cpuidRecords, header.xcr0);
  Object.assign(header, processor);
  const madeUp = recordedLayout(header.cpuidRecords, header.xcr0);
  const advance = trace.advance.bind(trace);
  trace.advance = () => {
    const frame = advance();
    if (frame?.extraRegisters) frame.extraRegisters = convertImage(frame.extraRegisters, real, madeUp);
    return frame;
  };
  return trace;
}

/**
 * @param offsets of components in areas in standard form, by their bit in XCR0; all that the trace has, from 2 on
 */
export function openWithLayout(folder: string, offsets: Readonly<Record<number, number>>): TraceReader {
  const trace = TraceReader.open(folder);
  const { header } = trace;
  const real = recordedLayout(header.cpuidRecords, header.xcr0);
  const end = Math.max(...real.components.map(({ bit, size }) => offsets[bit] + size));
  const records = header.cpuidRecords.map((record) => {
    if (record.eaxIn !== LEAF) return record;
    if (record.ecxIn === 0) return { ...record, ebx: end, ecx: end };
    return offsets[record.ecxIn] === undefined ? record : { ...record, ebx: offsets[record.ecxIn] };
  });
  return recordedAs(trace, { cpuidRecords: records });
}

/** AMX-BF16, AMX-TILE and AMX-INT8, of EDX of CPUID(7). */
const AMX_BITS = (1 << 22) | (1 << 24) | (1 << 25);

/** A trace as if its processor had AMX, whose state the program never had: XTILECFG and XTILEDATA behind the rest. */
export function openWithAmx(folder: string): TraceReader {
  const trace = TraceReader.open(folder);
  const { header } = trace;
  const real = recordedLayout(header.cpuidRecords, header.xcr0);
  const tiles = { eaxIn: LEAF, eax: 64, ecx: 0, edx: 0 };
  const records = [
    ...header.cpuidRecords
      .filter(({ eaxIn, ecxIn }) => eaxIn !== LEAF || (ecxIn !== 17 && ecxIn !== 18))
      .map((record) =>
        record.eaxIn === LEAF && record.ecxIn === 0
          ? { ...record, eax: record.eax | 0x6_0000, ebx: 11008, ecx: 11008 }
          : record.eaxIn === 7 && record.ecxIn === 0
            ? { ...record, edx: record.edx | AMX_BITS }
            : record,
      ),
    { ...tiles, ecxIn: 17, ebx: 2752 },
    { ...tiles, ecxIn: 18, eax: 8192, ebx: 2816 },
  ];
  return recordedAs(trace, { cpuidRecords: records, xcr0: real.xcr0 | 0x6_0000n });
}

/** XSAVE, OSXSAVE, AVX, F16C and FMA, of ECX of CPUID(1). */
const XSAVE_BITS = (1 << 12) | (1 << 26) | (1 << 27) | (1 << 28) | (1 << 29);

/**
 * A trace as if its processor had no XSAVE, as Intel's before Sandy Bridge: no leaf 0xd, nothing behind OSXSAVE, extra
 * registers of 512 bytes as FXSAVE has them. Of a program that uses neither AVX nor protection keys.
 */
export function openWithoutXsave(folder: string): TraceReader {
  const trace = TraceReader.open(folder);
  const records = trace.header.cpuidRecords
    .filter(({ eaxIn }) => eaxIn !== LEAF)
    .map((record) => {
      if (record.eaxIn === 1) return { ...record, ecx: record.ecx & ~XSAVE_BITS };
      // RDFSBASE and kin stay: a process cannot be without them.
      return record.eaxIn === 7 ? { ...record, ebx: record.ebx & 1, ecx: 0, edx: 0 } : record;
    });
  return recordedAs(trace, { cpuidRecords: records, xcr0: 3n });
}
