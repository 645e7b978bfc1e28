import type { CpuidRecord, TraceHeader } from '../engine/trace/records.js';

/** Characters of four registers, least significant byte first, as CPUID stores strings. */
function text(registers: number[]): string {
  const bytes = Buffer.alloc(registers.length * 4);
  registers.forEach((value, at) => bytes.writeUInt32LE(value >>> 0, at * 4));
  return bytes.toString('latin1').replace(/[^\x20-\x7e]/g, '');
}

/** The processor that a trace was recorded on: its brand string, else its vendor. */
export function processorName(header: TraceHeader): string {
  const leaf = (eax: number): CpuidRecord | undefined =>
    header.cpuidRecords.find((record) => record.eaxIn >>> 0 === eax);
  const brand = [0x80000002, 0x80000003, 0x80000004]
    .map(leaf)
    .map((record) => (record ? text([record.eax, record.ebx, record.ecx, record.edx]) : ''))
    .join('')
    .replace(/\s+/g, ' ')
    .trim();
  if (brand) return brand;
  const vendor = leaf(0);
  return (vendor && text([vendor.ebx, vendor.edx, vendor.ecx])) || 'unknown processor';
}

/**
 * The part of a brand string that distinguishes processors: `i7-8650U`, `EPYC-Rome`, `Haswell`, `Ryzen 9
 * 7950X`. QEMU's models have their name in parentheses.
 */
export function shortProcessorName(name: string): string {
  const model = / \(([A-Z][\w-]+)[^()]*\)$/.exec(name);
  if (model) return model[1];
  const short = name
    .replace(/\((R|TM|r|tm)\)/g, '')
    .replace(/\bwith .*$| @.*$|\b(\d+-Core|Processor|CPU|Genuine|Core|Xeon|Intel|AMD)\b/g, '')
    .replace(/\s+/g, ' ')
    .trim();
  return short === '' ? name : short;
}
