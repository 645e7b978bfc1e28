import type { MMapRecord } from './records.js';
import type { FileFacts } from './source.js';

/** Permission bits of a mode; the type is checked where the file is opened. */
const PERMISSIONS = 0o7777;

type RecordedFacts = Pick<MMapRecord, 'statSize' | 'statMode' | 'statUid' | 'statGid' | 'statMTime'>;

/**
 * How a file of this machine differs from the one that was mapped while recording, as text; empty:
 * not at all. Of packed traces only the size is compared: `rr pack` clears the rest.
 */
export function foreignDifferences(recorded: RecordedFacts, found: FileFacts): string[] {
  const differences: string[] = [];
  const compare = (what: string, was: string | number, is: string | number): void => {
    if (was !== is) differences.push(`${what} was ${was}, is ${is}`);
  };
  const octal = (mode: number): string => `0${(mode & PERMISSIONS).toString(8)}`;
  const time = (seconds: number): string => {
    const date = new Date(seconds * 1000);
    return Number.isNaN(date.getTime()) ? String(seconds) : date.toISOString();
  };
  compare('size', recorded.statSize, found.size);
  if (recorded.statMode === 0) return differences;
  compare('mode', octal(recorded.statMode), octal(found.mode));
  compare('owner', `${recorded.statUid}:${recorded.statGid}`, `${found.uid}:${found.gid}`);
  compare('modification time', time(recorded.statMTime), time(found.mtime));
  return differences;
}
