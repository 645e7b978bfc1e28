import { describe, expect, it } from 'vitest';
import { foreignDifferences } from './foreign.js';

const recorded = { statSize: 10, statMode: 0o100644, statUid: 0, statGid: 5, statMTime: 1_000_000_000 };
const found = { size: 10, mode: 0o100644, uid: 0, gid: 5, mtime: 1_000_000_000 };

describe('foreignDifferences', () => {
  it('is empty for the file that was recorded', () => {
    expect(foreignDifferences(recorded, found)).toEqual([]);
  });

  it('names what differs, as it was and as it is', () => {
    const other = { size: 11, mode: 0o100755, uid: 7, gid: 5, mtime: 1_000_000_060 };
    expect(foreignDifferences(recorded, other)).toEqual([
      'size was 10, is 11',
      'mode was 0644, is 0755',
      'owner was 0:5, is 7:5',
      'modification time was 2001-09-09T01:46:40.000Z, is 2001-09-09T01:47:40.000Z',
    ]);
  });

  it('compares only the size if `rr pack` has cleared the rest', () => {
    const cleared = { statSize: 10, statMode: 0, statUid: 0, statGid: 0, statMTime: 0 };
    expect(foreignDifferences(cleared, found)).toEqual([]);
    expect(foreignDifferences({ ...cleared, statSize: 9 }, found)).toEqual(['size was 9, is 10']);
  });

  it('takes any recorded time', () => {
    expect(foreignDifferences({ ...recorded, statMTime: 2 ** 60 }, found)).toHaveLength(1);
  });
});
