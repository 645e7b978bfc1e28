/**
 * The traces that specs replay: the samples of traces/, the groups of test/recordings, and, if
 * there is a larger collection beside the project, its traces, recordings and cases. Archives are
 * unpacked into build/recordings once.
 */
import fs from 'node:fs';
import path from 'node:path';
import { it } from 'vitest';
import { isFolder, unpack } from './unpack.js';
import { findTraces } from '../src/jobs/manifest/find-traces.js';

const root = path.resolve(import.meta.dirname, '..');
const shared = path.resolve(root, process.env.REVENANT_SHARED ?? '../shared');

/** The samples, which every clone has. */
export const samples = path.join(root, 'traces');

/** A sample's folder. */
export const sample = (name: string): string => path.join(samples, name);

/** The larger collection of plain trace folders, or null where it is not on this machine. */
export const largerCollection: string | null = ((): string | null => {
  const folder = path.join(shared, 'traces');
  return isFolder(folder) ? folder : null;
})();

/** A trace of the larger collection ("zen2/tree"), or null. */
export function larger(name: string): string | null {
  const folder = largerCollection && path.join(largerCollection, name);
  return folder && isFolder(folder) ? folder : null;
}

/** A sample or, if there is none of that name, a trace of the larger collection; null if neither exists. */
export const traceFolder = (name: string): string | null =>
  isFolder(sample(name)) ? sample(name) : larger(name);

/** Archives below a folder, by name without `.tar.xz`, sorted. */
function archives(at: string): Map<string, string> {
  if (!isFolder(at)) return new Map();
  const files = fs
    .readdirSync(at, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.tar.xz'));
  return new Map(
    files.sort().map((name) => [path.basename(name, '.tar.xz'), path.join(at, name)] as [string, string]),
  );
}

const groups = new Map([
  ...archives(path.join(root, 'test/recordings')),
  ...archives(path.join(shared, 'recordings')),
]);
const cases = archives(path.join(shared, 'cases'));

/** Names of the groups of recordings that are here. */
export const recordingGroups: readonly string[] = [...groups.keys()];

/** A group of recordings ("rr-5.9"), unpacked: a folder of traces; null where it is not here. */
export function recordings(group: string): string | null {
  const archive = groups.get(group);
  // An archive holds the folder of its group.
  return archive ? path.join(unpack(archive, `groups/${group}`), group) : null;
}

/** A recording ("rr-5.9/ssejmp"), unpacked, or null. */
export function recording(name: string): string | null {
  const folder = recordings(name.split('/')[0]);
  return folder && path.join(folder, ...name.split('/').slice(1));
}

/** Names of the archives of cases that are here, each one trace or a folder of traces. */
export const caseNames: readonly string[] = [...cases.keys()];

/** The folder in which an archive of the cases is unpacked; its traces are below it. Null where it is not here. */
export function caseFolder(archive: string): string | null {
  const file = cases.get(archive);
  return file ? unpack(file, `cases/${archive}`) : null;
}

/** The trace of a case ("smash"), or one of an archive of several ("rr-tests/rr-test-async_usr1"); null where it is not here. */
export function caseTrace(name: string): string | null {
  const [archive, trace = archive] = name.split('/');
  const folder = caseFolder(archive);
  return folder && (findTraces(folder).find((found) => path.basename(found) === trace) ?? null);
}

/** Why specs of traces that are not on this machine are skipped. */
export const MISSING = 'the larger collection of traces is not beside the project (REVENANT_SHARED names it)';

/**
 * A test of a trace that may not be on this machine: skipped, with the reason in its name, where it is not.
 * @param folder what `larger`, `recording` or `caseTrace` returned
 */
export function itOn(
  folder: string | null,
  name: string,
  test: (folder: string) => void | Promise<void>,
  timeout?: number,
): void {
  if (folder === null) it.skip(`${name} (skipped: ${MISSING})`, () => {});
  else it(name, () => test(folder), timeout);
}
