/** Archives in cpio's "newc" format, the one that the kernel unpacks as its initramfs. */

export interface CpioEntry {
  /** Path without a leading slash. */
  name: string;
  /** File type and permission bits, as in st_mode. */
  mode: number;
  data: Uint8Array;
}

export const DIRECTORY = 0o040755;
export const EXECUTABLE = 0o100755;
export const REGULAR = 0o100644;

const MAGIC = '070701';
const padding = (length: number): number => (4 - (length % 4)) % 4;

/** Documentation/driver-api/early-userspace/buffer-format.rst of Linux: 13 fields of 8 hex digits. */
function header(entry: CpioEntry, inode: number): Buffer {
  const name = `${entry.name}\0`;
  const fields = [
    inode,
    entry.mode,
    0, // uid
    0, // gid
    1, // links
    0, // modification time, fixed: the same sources give the same archive
    entry.data.length,
    0, // device major, minor
    0,
    0, // special device major, minor
    0,
    Buffer.byteLength(name),
    0, // checksum, unused
  ];
  const text = MAGIC + fields.map((value) => value.toString(16).padStart(8, '0')).join('');
  const head = Buffer.from(text + name, 'utf8');
  return Buffer.concat([head, Buffer.alloc(padding(head.length))]);
}

/** The archive of these entries, in this order (folders before what is in them). */
export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  const trailer: CpioEntry = { name: 'TRAILER!!!', mode: 0, data: new Uint8Array() };
  const parts: Uint8Array[] = [];
  [...entries, trailer].forEach((entry, at) => {
    parts.push(header(entry, at + 1), entry.data, Buffer.alloc(padding(entry.data.length)));
  });
  return Buffer.concat(parts);
}
