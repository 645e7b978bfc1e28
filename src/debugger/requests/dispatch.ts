/** From a packet's body to its reply. */
import { RevenantError } from '../../engine/base/errors.js';
import { errorReply, OK, PacketError, parseThreadId, UNSUPPORTED } from '../packet/fields.js';
import type { Session } from '../session.js';
import { hereReply } from '../stops.js';
import { allocate, release } from './lldb.js';
import {
  readMemory,
  readMemoryBinary,
  readRegister,
  readRegisters,
  writeMemory,
  writeMemoryBinary,
  writeRegister,
  writeRegisters,
} from './memory.js';
import { query } from './query.js';
import { attach, detach, kill, plainRun, reverse, run, vCont } from './run.js';

type Reply = string | Promise<string>;

/** gdb 13's actions. */
const VCONT_ACTIONS = 'vCont;c;C;s;S;r';

function vPacket(session: Session, body: string): Reply {
  if (body === 'vCont?') return VCONT_ACTIONS;
  const match = /^v(Cont;|Kill;|Run;|Attach;|File:)/.exec(body);
  const rest = body.slice(match?.[0].length);
  switch (match?.[1]) {
    case 'Cont;':
      return vCont(session, rest);
    case 'Kill;':
      return kill(session);
    case 'Run;':
      return run(session, rest);
    case 'Attach;':
      return attach(session, rest);
    case 'File:':
      return session.files.handle(rest, (path) => session.recorded.readlink(path, session)) ?? UNSUPPORTED;
    default:
      return UNSUPPORTED;
  }
}

/** `H` OPERATION THREAD. The thread to run is given by vCont; for older clients it is the selected one. */
function setThread(session: Session, text: string): string {
  const id = parseThreadId(text.slice(1));
  if (text[0] === 'g' || typeof id.tid === 'number') session.select(session.resolve(id).tid);
  return OK;
}

function breakpoint(session: Session, body: string): string {
  const { pid } = session.currentTask();
  const [table, text] = [session.breakpoints, body.slice(1)];
  const known = body[0] === 'Z' ? table.insert(text, pid) : table.remove(text, pid);
  return known ? OK : UNSUPPORTED;
}

/** `_M` and `_m`: memory for what a client puts into the program. */
function ownMemory(session: Session, rest: string): string {
  if (rest[0] === 'M') return allocate(session, rest.slice(1));
  return rest[0] === 'm' ? release(session, rest.slice(1)) : UNSUPPORTED;
}

/** A request about registers without its suffix `;thread:ID;`, and that thread; without one, the current thread. */
function withoutThread(session: Session, body: string): string {
  const match = session.client.threadSuffix ? /^([gGpP][^;]*);thread:([^;]+);?$/.exec(body) : null;
  if (!match) return body;
  session.select(session.resolve(parseThreadId(match[2])).tid);
  return match[1];
}

function isAlive(session: Session, text: string): string {
  session.resolve(parseThreadId(text));
  return OK;
}

type Handler = (session: Session, rest: string, body: string) => Reply;

/** By the first letter. */
const HANDLERS: Readonly<Record<string, Handler>> = {
  '?': (session) => session.lastStop || hereReply(session),
  '!': () => OK,
  g: readRegisters,
  G: writeRegisters,
  p: readRegister,
  P: writeRegister,
  m: readMemory,
  x: readMemoryBinary,
  M: writeMemory,
  X: writeMemoryBinary,
  H: setThread,
  T: isAlive,
  Z: (session, _rest, body) => breakpoint(session, body),
  z: (session, _rest, body) => breakpoint(session, body),
  D: detach,
  v: (session, _rest, body) => vPacket(session, body),
  _: (session, rest) => ownMemory(session, rest),
  b: (session, _rest, body) => reverse(session, body),
  c: (session, _rest, body) => plainRun(session, body),
  C: (session, _rest, body) => plainRun(session, body),
  s: (session, _rest, body) => plainRun(session, body),
  S: (session, _rest, body) => plainRun(session, body),
  q: (session, _rest, body) => query(session, body),
  Q: (session, _rest, body) => query(session, body),
};

/**
 * Answers one packet. Errors give an `E` reply, with the text on the debugger's console if the client would only print
 * "error 22".
 */
export async function handlePacket(session: Session, body: string): Promise<string> {
  const handler = Object.hasOwn(HANDLERS, body[0] ?? '') ? HANDLERS[body[0]] : undefined;
  if (!handler) return UNSUPPORTED;
  try {
    const request = withoutThread(session, body);
    return await session.lasting(() => handler(session, request.slice(1), request));
  } catch (error) {
    if (error instanceof PacketError) {
      session.log.debug({ packet: body.slice(0, 100), error: error.message }, 'request refused');
      return errorReply(error.errno, session.client.errorText ? error.message : '');
    }
    if (error instanceof RevenantError && error.code !== 'E_INTERNAL') {
      session.failure(error);
      return errorReply(5, session.client.errorText ? error.message : '');
    }
    throw error;
  }
}
