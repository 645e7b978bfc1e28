/** What a recording did to descriptors and files, in checkpoint files: the two directions must match. */
import type { ContentFacts, RecordedStat } from '../task/recorded-content.js';
import type { RecordedPending, RecordedTimer } from '../task/recorded-signals.js';
import type {
  FileKind,
  ListedName,
  RecordedFile,
  RecordedInterest,
  RecordedState,
  RecordedWorld,
  WorldFacts,
} from '../task/recorded-files.js';
import {
  big,
  boolean,
  bytes,
  damaged,
  fields,
  finite,
  integer,
  list,
  oneOf,
  orNull,
  pair,
  text,
  toBase64,
  toBig,
} from './shape.js';

const INT32 = 2 ** 31;
const PAGE = 4096;
const SIGINFO_BYTES = 128;
const KINDS: readonly FileKind[] = [
  ...(['file', 'pipe', 'socket', 'pair', 'epoll', 'eventfd', 'timerfd'] as const),
  ...(['signalfd', 'inotify', 'pidfd', 'other'] as const),
];

/** 64-bit numbers that may be negative. */
const wide = (value: bigint): string => toBig(BigInt.asUintN(64, value));
const optional = <T, U>(value: T | undefined, write: (value: T) => U): U | undefined =>
  value === undefined ? undefined : write(value);

export function encodeWorld(world: RecordedWorld): object {
  const { files, contents, names, channels, underWay, links, listings, pending, timers, made } = world.facts;
  return {
    files: files.map((file) => ({ ...file, state: encodeState(file.state) })),
    contents: contents.map(([id, facts]) => [
      id,
      { ...facts, pages: facts.pages.map(([number, page]) => [number, toBase64(page)]) },
    ]),
    names,
    channels: channels.map(([name, content]) => [name, toBase64(content)]),
    underWay,
    links,
    listings,
    pending: pending.map((signal) => ({ ...signal, info: toBase64(signal.info) })),
    timers: timers.map((timer) => ({
      ...timer,
      value: toBig(BigInt.asUintN(64, timer.value)),
      first: wide(timer.first),
      interval: wide(timer.interval),
    })),
    made,
  };
}

function encodeState({ interests, count, first, interval, mask, ...plain }: RecordedState): object {
  return {
    ...plain,
    interests: interests?.map((interest) => ({ ...interest, data: toBig(interest.data) })),
    count: optional(count, toBig),
    first: optional(first, wide),
    interval: optional(interval, wide),
    mask: optional(mask, toBig),
  };
}

const number = (value: unknown): number => integer(value, 'a number');
const signed = (value: unknown): number => integer(value, 'a number', -INT32, INT32 - 1);

function state(value: unknown): RecordedState {
  const from = fields(value, 'a state');
  const read = <T>(key: keyof RecordedState, how: (value: unknown) => T): { [name: string]: T } =>
    from[key] === undefined ? {} : { [key]: how(from[key]) };
  const nanos = (item: unknown): bigint => BigInt.asIntN(64, big(item, 'a time'));
  return {
    ...read('content', number),
    ...read('interests', (item) => list(item, 'interests', interest)),
    ...read('count', (item) => big(item, 'a counter')),
    ...read('semaphore', (item) => boolean(item, 'a kind')),
    ...read('clock', signed),
    ...read('first', nanos),
    ...read('interval', nanos),
    ...read('isAbsolute', (item) => boolean(item, 'a kind')),
    ...read('armedAt', (item) => finite(item, 'a time')),
    ...read('mask', (item) => big(item, 'a mask')),
    ...read('pid', signed),
    ...read('end', number),
    ...read('listed', (item) => list(item, 'names', listedName)),
    ...read('listens', (item) => boolean(item, 'a state')),
  };
}

function interest(value: unknown): RecordedInterest {
  const { fd, file, events, data } = fields(value, 'an interest');
  return {
    fd: signed(fd),
    file: number(file),
    events: integer(events, 'events', 0, 2 ** 32 - 1),
    data: big(data, 'data'),
  };
}

const listedName = (value: unknown): ListedName =>
  pair(value, 'a name', (name) => text(name, 'a name'), number);

function pendingSignal(value: unknown): RecordedPending {
  const { pid, tid, number: signal, info } = fields(value, 'a signal');
  return {
    pid: signed(pid),
    tid: signed(tid),
    number: integer(signal, 'a signal', 1, 64),
    info: bytes(info, 'a signal', SIGINFO_BYTES),
  };
}

function recordedTimer(value: unknown): RecordedTimer {
  const from = fields(value, 'a timer');
  const nanos = (item: unknown): bigint => BigInt.asIntN(64, big(item, 'a time'));
  return {
    pid: signed(from.pid),
    id: signed(from.id),
    clock: signed(from.clock),
    signal: integer(from.signal, 'a signal', 0, 64),
    value: big(from.value, 'a value'),
    tid: signed(from.tid),
    first: nanos(from.first),
    interval: nanos(from.interval),
    isAbsolute: boolean(from.isAbsolute, 'a kind'),
    armedAt: finite(from.armedAt, 'a time'),
  };
}

function recordedFile(value: unknown): RecordedFile {
  const { id, kind, path, flags, offset, state: rest } = fields(value, 'a file');
  return {
    id: integer(id, 'a file', 1),
    kind: oneOf<FileKind>(kind, 'a file', KINDS),
    path: text(path, 'a path'),
    flags: integer(flags, 'flags', -INT32, 2 ** 32),
    offset: finite(offset, 'an offset'),
    state: state(rest),
  };
}

function stat(value: unknown): RecordedStat {
  const from = fields(value, 'an identity');
  const read = (key: keyof RecordedStat): number => finite(from[key], 'an identity');
  return {
    device: read('device'),
    inode: read('inode'),
    mode: integer(from.mode, 'a mode', 0, 2 ** 32 - 1),
    links: read('links'),
    uid: read('uid'),
    gid: read('gid'),
    size: number(from.size),
    special: read('special'),
    mtime: pair(
      from.mtime,
      'a time',
      (item) => finite(item, 'a time'),
      (item) => finite(item, 'a time'),
    ),
  };
}

function content(value: unknown): ContentFacts {
  const from = fields(value, 'a content');
  return {
    stat: orNull(from.stat, stat),
    size: orNull(from.size, number),
    isWhole: boolean(from.isWhole, 'a state'),
    isWritten: boolean(from.isWritten, 'a state'),
    known: list(from.known, 'ranges', (item) => pair(item, 'a range', number, number)),
    pages: list(from.pages, 'pages', (item) =>
      pair(item, 'a page', number, (page) => bytes(page, 'a page', PAGE)),
    ),
  };
}

export function decodeWorld(value: unknown): WorldFacts {
  const from = fields(value, 'the files');
  const contents = list(from.contents, 'contents', (item) => pair(item, 'a content', number, content));
  for (const [, { known }] of contents)
    if (known.some(([start, end]) => start > end)) damaged('a range is empty');
  return {
    files: list(from.files, 'files', recordedFile),
    contents,
    names: list(from.names, 'names', (item) => pair(item, 'a name', (name) => text(name, 'a path'), number)),
    channels: list(from.channels, 'pipes', (item) =>
      pair(
        item,
        'a pipe',
        (name) => text(name, 'a name'),
        (data) => bytes(data, 'a pipe'),
      ),
    ),
    underWay: list(from.underWay, 'sent descriptors', (item) =>
      pair(
        item,
        'a sent descriptor',
        (name) => text(name, 'a name'),
        (ids) => list(ids, 'descriptors', number),
      ),
    ),
    links: list(from.links, 'links', (item) =>
      pair(
        item,
        'a link',
        (path) => text(path, 'a path'),
        (target) => text(target, 'a path'),
      ),
    ),
    listings: list(from.listings, 'folders', (item) =>
      pair(
        item,
        'a folder',
        (path) => text(path, 'a path'),
        (names) => list(names, 'names', listedName),
      ),
    ),
    pending: list(from.pending, 'signals', pendingSignal),
    timers: list(from.timers, 'timers', recordedTimer),
    made: number(from.made),
  };
}
