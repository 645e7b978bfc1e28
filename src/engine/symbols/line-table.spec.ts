import { describe, expect, it } from 'vitest';
import { LineTable } from './line-table.js';

/** As printed by readelf of binutils 2.40. */
const TEXT = `Contents of the .debug_line section:

CU: programs/tree.c:
File name                            Line number    Starting address    View    Stmt
tree.c                                        12              0x11b9               x
tree.c                                        12              0x11b9       1
tree.c                                        19              0x11c9               x
tree.c                                        20              0x11cf               x
tree.c                                        22              0x11d9
tree.c                                        24              0x1216       1       x
tree.c                                         -              0x1230

/usr/include/a b/list.h:
list.h                                         7              0x1190               x
list.h                                         9              0x11a0               x

./other.c:[++]
other.c                                       19              0x1240               x
other.c                                       19              0x1250               x
other.c                                       21              0x1260               x
other.c                                        -              0x1270               END
list.h                                         7              0x1280               x
list.h                                         -              0x1280
`;

describe('LineTable', () => {
  const table = LineTable.parse(TEXT);

  it('finds the line of an address, between rows too, and none after a sequence', () => {
    expect(table.lineAt(0x11b9)).toEqual({ file: 'programs/tree.c', line: 12 });
    expect(table.lineAt(0x11d8)).toEqual({ file: 'programs/tree.c', line: 20 });
    expect(table.lineAt(0x122f)).toEqual({ file: 'programs/tree.c', line: 24 });
    expect(table.lineAt(0x1230)).toBeNull();
    expect(table.lineAt(0x1240)).toEqual({ file: './other.c', line: 19 });
    expect(table.lineAt(0x1195)).toEqual({ file: '/usr/include/a b/list.h', line: 7 });
    expect(table.lineAt(0x10)).toBeNull();
    expect(table.lineAt(0x9999)).not.toEqual({ file: './other.c', line: 21 });
  });

  it('finds statements of a line, or of the next line with code', () => {
    expect(table.find('tree.c', 12).map(({ address }) => address)).toEqual([0x11b9]);
    expect(table.find('programs/tree.c', 13)).toEqual([
      { file: 'programs/tree.c', line: 19, address: 0x11c9 },
    ]);
    expect(table.find('tree.c', 21).map(({ line }) => line)).toEqual([24]);
    expect(table.find('other.c', 19).map(({ address }) => address)).toEqual([0x1240, 0x1250]);
    expect(table.find('ree.c', 12)).toEqual([]);
    expect(table.find('tree.c', 25)).toEqual([]);
    expect(table.find('list.h', 7).map(({ address }) => address)).toEqual([0x1190, 0x1280]);
  });

  it('is empty for anything but a line table', () => {
    expect(LineTable.parse('').isEmpty).toBe(true);
    expect(LineTable.parse('readelf: Error\nContents of the .debug_line section:\n\n').isEmpty).toBe(true);
  });
});
