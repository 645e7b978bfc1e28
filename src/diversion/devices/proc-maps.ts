import { Prot, isShared, type Vma } from '../../engine/mm/vma.js';

/** /proc/PID/maps as the kernel formats it: adjacent parts of one mapping are one line. */
export function formatMaps(vmas: readonly Vma[]): string {
  return vmas.map(line).join('');
}

const digits = (value: number, width = 8): string => value.toString(16).padStart(width, '0');

function line(vma: Vma): string {
  const bits =
    (vma.prot & Prot.read ? 'r' : '-') +
    (vma.prot & Prot.write ? 'w' : '-') +
    (vma.prot & Prot.exec ? 'x' : '-') +
    (isShared(vma) ? 's' : 'p');
  const device = Number(vma.file?.device ?? 0n);
  const place = `${digits(device >>> 8, 2)}:${digits(device & 0xff, 2)} ${vma.file?.inode ?? 0n}`;
  const head = `${digits(vma.start)}-${digits(vma.end)} ${bits} ${digits(vma.file?.offset ?? 0)} ${place}`;
  return vma.name === '' ? `${head} \n` : `${head.padEnd(72)} ${vma.name}\n`;
}
