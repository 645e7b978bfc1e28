import type { Credentials } from '../kernel/process.js';
import { nameBytes } from '../../engine/base/names.js';

/** AT_* (include/uapi/linux/auxvec.h). */
const At = {
  null: 0,
  headers: 3,
  headerSize: 4,
  headerCount: 5,
  pageSize: 6,
  base: 7,
  flags: 8,
  entry: 9,
  uid: 11,
  euid: 12,
  gid: 13,
  egid: 14,
  platform: 15,
  clockTick: 17,
  secure: 23,
  random: 25,
  executable: 31,
} as const;
const HEADER_SIZE = 56;

export interface StackContent {
  readonly path: string;
  readonly arguments: readonly string[];
  readonly environment: readonly string[];
  readonly random: Uint8Array;
  /** Address of the program headers in memory. */
  readonly headers: number;
  readonly headerCount: number;
  /** Load base of the dynamic linker; 0: none. */
  readonly linkerBase: number;
  readonly entry: number;
  readonly credentials: Credentials;
}

/**
 * The initial stack of a new program, from rsp: argc, argv, envp, auxv, then the strings (System V ABI, figure 3.9).
 * @returns the bytes from rsp to `end`
 */
export function composeStack(
  end: number,
  content: StackContent,
): { stackPointer: number; bytes: Uint8Array } {
  const parts: Uint8Array[] = [];
  let at = end - 8;
  parts.unshift(new Uint8Array(8));
  const push = (bytes: Uint8Array): number => {
    at -= bytes.length;
    parts.unshift(bytes);
    return at;
  };
  const text = (value: string): number => push(nameBytes(`${value}\0`));
  const executable = text(content.path);
  const environment = content.environment.map(text);
  const list = content.arguments.map(text);
  const platform = text('x86_64');
  const random = push(content.random);
  const words = [
    list.length,
    ...list,
    0,
    ...environment,
    0,
    ...auxiliary(content, { executable, platform, random }),
  ];
  const stackPointer = Math.floor((at - 8 * words.length) / 16) * 16;
  const bytes = new Uint8Array(end - stackPointer);
  const view = new DataView(bytes.buffer);
  words.forEach((value, index) => view.setBigUint64(8 * index, BigInt(value), true));
  let offset = at - stackPointer;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return { stackPointer, bytes };
}

function auxiliary(
  { headers, headerCount, linkerBase, entry, credentials }: StackContent,
  strings: { executable: number; platform: number; random: number },
): number[] {
  return [
    [At.pageSize, 4096],
    [At.clockTick, 100],
    [At.headers, headers],
    [At.headerSize, HEADER_SIZE],
    [At.headerCount, headerCount],
    [At.base, linkerBase],
    [At.flags, 0],
    [At.entry, entry],
    [At.uid, credentials.uid],
    [At.euid, credentials.euid],
    [At.gid, credentials.gid],
    [At.egid, credentials.egid],
    [At.secure, 0],
    [At.random, strings.random],
    [At.executable, strings.executable],
    [At.platform, strings.platform],
    [At.null, 0],
  ].flat();
}
