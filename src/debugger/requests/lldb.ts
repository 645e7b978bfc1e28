/**
 * Requests of LLDB's own (LLDB's documents, "lldb-gdb-remote"): what the program runs on, the map of its memory, the
 * modules in it, threads by number, and memory for expressions.
 */
import { USER_END } from '../../engine/base/address.js';
import { nameBytes, xmlText } from '../../engine/base/names.js';
import { Prot } from '../../engine/mm/vma.js';
import { documentPart, latin1Text, OK, PacketError, parseCount, split, textToHex } from '../packet/fields.js';
import { debugEntry, loadedModules } from '../modules.js';
import { programOf } from '../program.js';
import type { Session } from '../session.js';
import { threadReply } from '../stops.js';

/** LLVM's name of what every recording runs on. */
const TRIPLE = `triple:${textToHex('x86_64-pc-linux-gnu')};ptrsize:8;endian:little;`;
/** Reverse execution may take longer than LLDB's request timeout of one second. */
const PACKET_TIMEOUT_SECONDS = 600;

export const hostInfo = (): string =>
  `${TRIPLE}watchpoint_exceptions_received:after;default_packet_timeout:${PACKET_TIMEOUT_SECONDS};`;

export function processInfo(session: Session): string {
  const { pid } = session.currentTask();
  return `pid:${pid.toString(16)};${TRIPLE}ostype:linux;`;
}

/** `qProcessInfoPID:PID`, decimal. */
export function processInfoOf(session: Session, text: string): string {
  const pid = /^\d{1,10}$/.test(text) ? Number(text) : 0;
  if (!session.target.tasks().some((task) => task.pid === pid))
    throw new PacketError(`there is no process ${pid} now`, 3);
  const path = nameBytes(fileOf(session, programOf(session.target, pid)));
  return `pid:${pid.toString(16)};name:${path.toString('hex')};${TRIPLE}`;
}

/** The path of a file for the client: LLDB reads files itself. */
export const fileOf = (session: Session, recorded: string): string => session.copyOf(recorded) ?? recorded;

/** `qShlibInfoAddr`: where the address of the dynamic linker's list is, or will be. */
export function listAddress(session: Session): string {
  const { tid, pid } = session.currentTask();
  const entry = debugEntry(session.target, tid, pid);
  if (entry === 0) throw new PacketError('the program has no dynamic linker');
  return entry.toString(16);
}

/** `qXfer:libraries-svr4:read`; `range` as in `documentPart`. A list that is read in parts is one list. */
export function libraries(session: Session, range: string): string {
  const isFirst = /^0+,/.test(range);
  if (isFirst) session.libraries = latin1Text(Buffer.from(librariesDocument(session)));
  return documentPart(session.libraries, range);
}

/**
 * gdb manual, "Library List Format for SVR4 Targets". The program itself is in the first list only:
 * from it LLDB learns the program, but drops all load addresses.
 */
function librariesDocument(session: Session): string {
  const { tid, pid } = session.currentTask();
  const modules = loadedModules(session.target, tid, pid);
  const hex = (value: number): string =>
    `0x${(value < 0 ? BigInt.asUintN(64, BigInt(value)) : value).toString(16)}`;
  const program = `${pid} ${programOf(session.target, pid)}`;
  const isKnown = session.listedProgram === program;
  session.listedProgram = program;
  const items = modules
    .filter(({ isProgram }) => !(isProgram && isKnown))
    .map(({ path, bias, dynamic, linkMap }) => {
      const name = xmlText(fileOf(session, path));
      return `<library name="${name}" lm="${hex(linkMap)}" l_addr="${hex(bias)}" l_ld="${hex(dynamic)}"/>`;
    });
  const main = modules.find(({ isProgram }) => isProgram)?.linkMap ?? 0;
  const head = main === 0 ? '' : ` main-lm="${hex(main)}"`;
  return `<library-list-svr4 version="1.0"${head}>${items.join('')}</library-list-svr4>`;
}

const RIGHTS: readonly [number, string][] = [
  [Prot.read, 'r'],
  [Prot.write, 'w'],
  [Prot.exec, 'x'],
];

interface Region {
  readonly start: number;
  readonly end: number;
  readonly prot: number;
  readonly name?: string;
  readonly file?: { readonly path: string } | null;
}

const extent = (start: number, end: number): string =>
  `start:${start.toString(16)};size:${(end - start).toString(16)};`;

/** `qMemoryRegionInfo:ADDRESS`: the mapping there, or the gap between mappings. */
export function memoryRegion(session: Session, text: string): string {
  const address = parseCount(text);
  if (address >= USER_END) throw new PacketError('not a user-space address');
  const { tid, pid } = session.currentTask();
  const regions: Region[] = [...session.target.mappings(tid), ...session.allocations.of(pid)];
  const found = regions.find(({ start, end }) => start <= address && address < end);
  if (!found) {
    const below = regions.map(({ end }) => end).filter((end) => end <= address);
    const above = regions.map(({ start }) => start).filter((start) => start > address);
    return extent(Math.max(0, ...below), Math.min(USER_END, ...above));
  }
  const rights = RIGHTS.filter(([bit]) => found.prot & bit).map(([, letter]) => letter);
  // LLDB takes a name for a file that it can read.
  const name = found.file ? fileOf(session, found.file.path) : (found.name ?? '');
  const named = name === '' ? '' : `name:${nameBytes(name).toString('hex')};`;
  return `${extent(found.start, found.end)}permissions:${rights.join('')};flags:;${named}`;
}

/** `qThreadStopInfoTID` */
export const threadStopInfo = (session: Session, text: string): string =>
  threadReply(session, parseCount(text));

/** `_M SIZE,PERMISSIONS`: memory for code and data of the client's; `rwx`. */
export function allocate(session: Session, text: string): string {
  const [size, rights] = split(text, ',');
  if (!/^r?w?x?$/.test(rights)) throw new PacketError(`not permissions: ${JSON.stringify(rights)}`);
  const prot = RIGHTS.reduce((sum, [bit, letter]) => (rights.includes(letter) ? sum | bit : sum), 0);
  const { tid } = session.currentTask();
  const { allocations, diversion, target } = session;
  return allocations.allocate(target, tid, parseCount(size), prot, diversion?.target ?? null).toString(16);
}

/** `_m ADDRESS` */
export function release(session: Session, text: string): string {
  const { pid } = session.currentTask();
  if (!session.allocations.release(pid, parseCount(text)))
    throw new PacketError('nothing was allocated there');
  return OK;
}
