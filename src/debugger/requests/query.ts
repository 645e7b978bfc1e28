/** `q` and `Q` requests: features of the target, its threads, and documents about it. */
import {
  documentPart,
  fromHex,
  latin1Text,
  OK,
  PacketError,
  parseCount,
  parseThreadId,
  textToHex,
  UNSUPPORTED,
} from '../packet/fields.js';
import type { Gva } from '../../engine/base/address.js';
import { MAX_PACKET } from '../packet/framing.js';
import { rrCommand, runCommand } from '../commands/run.js';
import type { Session } from '../session.js';
import { programOf } from '../program.js';
import {
  fileOf,
  hostInfo,
  libraries,
  listAddress,
  memoryRegion,
  processInfo,
  processInfoOf,
  threadStopInfo,
} from './lldb.js';
import { threadLocalAddress } from '../thread-local.js';
import { trapInfo } from '../stops.js';
import { parseWatchTests } from '../watch-tests.js';
import { searchMemory } from './memory.js';
import { osDocument } from './osdata.js';
import { nameBytes, printable, xmlText } from '../../engine/base/names.js';

/** What both sides may have. */
const BOTH = [
  'multiprocess',
  'swbreak',
  'hwbreak',
  'fork-events',
  'vfork-events',
  'exec-events',
  'vContSupported',
];
const OURS = [
  'QStartNoAckMode+',
  'ConditionalBreakpoints+',
  'ReverseContinue+',
  'ReverseStep+',
  'QPassSignals+',
  'QProgramSignals+',
  'QCatchSyscalls+',
  'qXfer:features:read+',
  'qXfer:auxv:read+',
  'qXfer:exec-file:read+',
  'qXfer:siginfo:read+',
  'qXfer:threads:read+',
  'qXfer:osdata:read+',
];

/** Requested in this way only by LLDB. */
const LLDBS = ['qXfer:libraries-svr4:read+'];
/** LLDB lists architectures together with that of the stubs' register descriptions; gdb only its own. */
const LLDB_REGISTERS = /(?:^|[:;])xmlRegisters=[^;]*,/;

function supported(session: Session, text: string): string {
  const { features } = session.client;
  session.client.isLldb = LLDB_REGISTERS.test(text);
  features.clear();
  for (const feature of text.split(';')) if (feature.endsWith('+')) features.add(feature.slice(0, -1));
  // Without multiprocess a client cannot distinguish processes.
  const both = BOTH.filter((name) => features.has(name) || name === 'vContSupported');
  if (!features.has('multiprocess'))
    for (const name of ['fork-events', 'vfork-events']) features.delete(name);
  // LLDB does not list it in this request.
  if (session.client.isLldb) features.add('exec-events');
  const ours = session.client.isLldb ? [...OURS, ...LLDBS] : OURS;
  return [`PacketSize=${(MAX_PACKET / 2).toString(16)}`, ...both.map((name) => `${name}+`), ...ours].join(
    ';',
  );
}

function threadsDocument(session: Session): string {
  const threads = session.tasks().map(({ pid, tid, name }) => {
    const id = `id="${session.threadId(pid, tid)}"`;
    return session.asRr
      ? `<thread ${id}>${xmlText(name)}</thread>`
      : `<thread ${id} name="${xmlText(name)}"/>`;
  });
  // Names need not be ASCII: the document is UTF-8, and offsets count its bytes.
  return `<?xml version="1.0" encoding="UTF-8"?><threads>${threads.join('')}</threads>`;
}

function executed(session: Session, pid: number): string {
  const path = programOf(session.target, pid);
  return session.client.isLldb ? fileOf(session, path) : path;
}

/** `OBJECT:read:ANNEX:OFFSET,LENGTH` */
function transfer(session: Session, text: string): string {
  const [object, operation, annex, range] = text.split(':');
  if (operation !== 'read' || range === undefined) return UNSUPPORTED;
  const pid = (): number => (annex === '' ? session.currentTask().pid : parseCount(annex));
  switch (object) {
    case 'features':
      if (annex !== 'target.xml') throw new PacketError('there is only target.xml');
      return documentPart(session.description.xml, range);
    case 'threads':
      return documentPart(latin1Text(Buffer.from(threadsDocument(session))), range);
    case 'osdata':
      return documentPart(latin1Text(Buffer.from(osDocument(session, annex))), range);
    case 'libraries-svr4':
      return libraries(session, range);
    case 'auxv':
      return documentPart(latin1Text(session.target.executable(session.currentTask().pid).auxv), range);
    case 'exec-file':
      return documentPart(latin1Text(nameBytes(executed(session, pid()))), range);
    case 'siginfo': {
      const { tid } = session.currentTask();
      const siginfo = session.siginfo(tid) ?? trapInfo(session.lastReported, tid);
      if (!siginfo) throw new PacketError('the task is not stopped at a signal', 2);
      return documentPart(latin1Text(siginfo), range);
    }
    default:
      return UNSUPPORTED;
  }
}

const threadList = (session: Session): string =>
  `m${session
    .tasks()
    .map(({ pid, tid }) => session.threadId(pid, tid))
    .join(',')}`;

const currentThread = (session: Session): string => {
  const { pid, tid } = session.currentTask();
  return `QC${session.threadId(pid, tid)}`;
};

function threadExtraInfo(session: Session, text: string): string {
  const { tid } = session.resolve(parseThreadId(text));
  return textToHex(printable(session.taskOf(tid)?.name || ' '));
}

/** A signal list: hexadecimal numbers between semicolons. */
const signalsOf = (session: Session, text: string): number[] =>
  text
    .split(';')
    .filter((part) => part !== '')
    .map((part) => session.linuxNumber(parseCount(part)));

function catchSyscalls(session: Session, text: string): string {
  const [on, ...numbers] = text.split(';');
  const { client } = session;
  if (on === '0') client.catchSyscalls = 'none';
  else client.catchSyscalls = numbers.length === 0 ? 'all' : numbers.map(parseCount);
  return OK;
}

function agree(session: Session, feature: 'threadSuffix' | 'listThreads' | 'errorText'): string {
  session.client[feature] = true;
  return OK;
}

/** `qGetTLSAddr:THREAD,OFFSET,LINK_MAP` */
function threadLocal(session: Session, text: string): string {
  const [thread = '', offset = '', linkMap = ''] = text.split(',');
  const { tid } = session.resolve(parseThreadId(thread));
  const symbolOf = (name: string): Gva | null => session.replay.symbol(session.replayed(tid), name);
  const address = threadLocalAddress(session.target, tid, parseCount(offset), parseCount(linkMap), symbolOf);
  return address.toString(16);
}

type Answer = (session: Session, text: string) => string | Promise<string>;

/** By the request's name, up to `:` or `,`; the text is what follows that. */
const QUERIES: Readonly<Record<string, Answer>> = {
  qSupported: supported,
  qXfer: transfer,
  qC: currentThread,
  qfThreadInfo: threadList,
  qsThreadInfo: () => 'l',
  qThreadExtraInfo: threadExtraInfo,
  // 1: the process was there before; gdb leaves it with `detach` rather than `kill`.
  qAttached: () => '1',
  qSymbol: () => OK,
  qOffsets: () => UNSUPPORTED,
  qGetTLSAddr: threadLocal,
  qTStatus: () => UNSUPPORTED,
  qRcmd: (session, text) => runCommand(session, Buffer.from(fromHex(text)).toString('utf8')),
  qSearch: (session, text) =>
    text.startsWith('memory:') ? searchMemory(session, text.slice('memory:'.length)) : UNSUPPORTED,
  // rr's extension of the protocol, which its users' scripts and front ends send.
  qRRCmd: rrCommand,
  // Whether gdb has not been notified yet of a jump in time.
  'qRevenant.pending': (session) => String(session.pending.length),
  'QRevenant.watches': (session, text) => {
    session.breakpoints.testWatches(parseWatchTests(text, (codes) => session.predicatesOf(codes)));
    return OK;
  },
  'qRevenant.state': (session) => textToHex(stateText(session)),
  QPassSignals: (session, text) => {
    session.client.passSignals = new Set(signalsOf(session, text));
    return OK;
  },
  qHostInfo: hostInfo,
  qProcessInfo: processInfo,
  qProcessInfoPID: processInfoOf,
  qShlibInfoAddr: listAddress,
  qMemoryRegionInfo: memoryRegion,
  qThreadStopInfo: threadStopInfo,
  QThreadSuffixSupported: (session) => agree(session, 'threadSuffix'),
  QListThreadsInStopReply: (session) => agree(session, 'listThreads'),
  QEnableErrorStrings: (session) => agree(session, 'errorText'),
  QProgramSignals: () => OK,
  QCatchSyscalls: catchSyscalls,
};

/** `replay 124` or `diversion 124`: for prompts. */
export const stateText = (session: Session): string =>
  `${session.diversion ? 'diversion' : 'replay'} ${session.replay.frameTime}`;

export function query(session: Session, body: string): string | Promise<string> {
  // LLDB's number of a thread follows without a sign between.
  const match = /^(qThreadStopInfo|[A-Za-z.]+)[:,]?/.exec(body);
  const answer = match && Object.hasOwn(QUERIES, match[1]) ? QUERIES[match[1]] : undefined;
  return answer && match ? answer(session, body.slice(match[0].length)) : UNSUPPORTED;
}
