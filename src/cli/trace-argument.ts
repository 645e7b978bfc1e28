/** Resolves TRACE on a command line: a folder, a name as rr uses it, or, if omitted, rr's latest trace. */
import fs from 'node:fs';
import path from 'node:path';
import { RevenantError } from '../engine/base/errors.js';
import { printable } from './printable.js';

const isFolder = (name: string): boolean =>
  Boolean(fs.statSync(name, { throwIfNoEntry: false })?.isDirectory());

/** Where rr keeps its traces: as its `trace_save_dir` (rr 5.9, src/util.cc). */
export function rrFolder(environment: NodeJS.ProcessEnv): string {
  const { _RR_TRACE_DIR: chosen, HOME: home, XDG_DATA_HOME: data } = environment;
  if (chosen !== undefined) return chosen;
  const kept = data ? path.join(data, 'rr') : home ? path.join(home, '.local/share/rr') : null;
  const old = home ? path.join(home, '.rr') : null;
  if (kept !== null && isFolder(kept)) return kept;
  if (old !== null && isFolder(old)) return old;
  return kept ?? '/tmp/rr';
}

export interface Surroundings {
  readonly environment: NodeJS.ProcessEnv;
  /** Called with the chosen trace if none was named. */
  note(text: string): void;
}

/**
 * The trace folder. Without a name: rr's latest trace; a name without `/` that is not a folder here
 * is searched among rr's traces, as rr does. Throws E_TRACE_MISSING if rr has none, and if the
 * folder contains traces but is not one.
 */
export function traceArgument(named: string | undefined, { environment, note }: Surroundings): string {
  const rr = rrFolder(environment);
  if (named === undefined) {
    const latest = path.join(rr, 'latest-trace');
    if (!isFolder(latest))
      throw new RevenantError(
        'E_TRACE_MISSING',
        `No trace is given, and rr has none here: there is no folder ${printable(latest)}.`,
        'Name a trace folder. rr keeps its traces in _RR_TRACE_DIR.',
      );
    const folder = fs.realpathSync(latest);
    note(`rr's latest trace: ${printable(folder)}`);
    return folder;
  }
  if (!isFolder(named)) {
    const recorded = path.join(rr, named);
    return !named.includes('/') && isFolder(recorded) ? recorded : named;
  }
  refuseCollection(named);
  return named;
}

/**
 * Whether the first of several arguments is a trace; otherwise it is part of the rest, and the trace is rr's latest.
 */
export function namesTrace(argument: string, environment: NodeJS.ProcessEnv): boolean {
  const looksLikePath = /^(\.{0,2}|~|[\w.@+-]+)\/[\w.@+/-]*$/.test(argument);
  return looksLikePath || fs.existsSync(argument) || isFolder(path.join(rrFolder(environment), argument));
}

/** Folders that are searched for a hint. */
const MOST_FOLDERS = 200;
const MOST_NAMES = 3;

/** Throws E_TRACE_MISSING if a folder is not a trace but contains some. */
function refuseCollection(folder: string): void {
  const below = someTraces(folder);
  if (below.length === 0 || below[0] === folder) return;
  const some = below.slice(0, MOST_NAMES).map(printable).join(', ');
  throw new RevenantError(
    'E_TRACE_MISSING',
    `${printable(folder)} is not a trace, but contains traces: ${some}${below.length > MOST_NAMES ? ', ...' : ''}.`,
    `Name one of them; \`revenant replay --all ${printable(folder)}\` replays all of them.`,
  );
}

/** The folder itself where it is a trace, else the first few that are found below, nearest first. */
function someTraces(folder: string): string[] {
  const found: string[] = [];
  const waiting = [folder];
  for (let looked = 0; looked < MOST_FOLDERS && found.length <= MOST_NAMES; looked++) {
    const at = waiting.shift();
    if (at === undefined) break;
    let entries: fs.Dirent[];
    try {
      entries = fs.readdirSync(at, { withFileTypes: true });
    } catch {
      continue;
    }
    if (entries.some(({ name }) => name === 'version' || name === 'incomplete')) found.push(at);
    else for (const entry of entries) if (entry.isDirectory()) waiting.push(path.join(at, entry.name));
  }
  return found.sort();
}
