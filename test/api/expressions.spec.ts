/** Expressions of C, C++ and Rust in replays: gdb's print on the live program is right. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Replay } from '../../src/api/replay.js';
import { runGdb } from '../debugger/gdb.js';
import { type LiveGdb, prepareLiveGdb } from '../debugger/live/gdb.js';
import { sample } from '../collections.js';
import { MACHINE } from '../machines.js';

interface Subject {
  readonly trace: string;
  readonly file: string;
  /** For the replay and for gdb. */
  readonly place: string;
  readonly hit: number;
  readonly expressions: readonly string[];
}

const SUBJECTS: readonly Subject[] = [
  {
    trace: 'rome-pku/values',
    file: 'mmap_copy_4_values',
    place: 'look',
    hit: 3,
    expressions: [
      ...[
        'turn',
        'weight',
        'item',
        '*item',
        'item->key',
        'item->name',
        'item->flags.offset',
        '(*item).shape',
      ],
      ...['item->shape.radius', 'items[1].shape.width', 'items[1].name', 'items[0].next->code', '&items[1]'],
      ...[
        '&item->flags',
        'items[1]',
        'items',
        'color',
        'mode',
        '(enum color)0',
        'GREEN',
        '(int)GREEN',
        'yes',
      ],
      ...[
        'minus',
        'above',
        'huge_unsigned',
        'lowest',
        'highest',
        'third',
        'tenth',
        'wide',
        'spiral',
        'fixed',
      ],
      ...[
        'numbers',
        'grid',
        'grid[1][2]',
        'zeros',
        'numbers[2]@3',
        '*numbers@2',
        'word_text',
        'latin',
        'utf8',
      ],
      ...['texts', 'texts[1]', 'texts[2]', 'word', 'word.real', 'word.bytes', 'flags', 'flags.rest', 'large'],
      ...[
        'nothing',
        'shaken',
        'operation',
        'add',
        '&add',
        '*operation',
        'sizeof(struct item)',
        'sizeof numbers',
      ],
      ...[
        '1 + 2 * 3',
        '7 / 2',
        '7 / 2.0',
        '-7 % 3',
        '1 << 40',
        '~0',
        '!turn',
        '5 > 3 && turn == 3',
        '0x10 | 010',
      ],
      ...[
        "'a'",
        "'\\351'",
        "'\\n' + 1",
        '1.5f',
        '4000000000',
        '4000000000u',
        '1ul',
        'turn ? 1 : 2',
        '(char)200',
      ],
      ...[
        '(unsigned char)200',
        '(short)70000',
        '(float)0.1',
        '(double)third',
        '(long)&shaken == (long)&shaken',
      ],
      ...[
        '*(int*)&third',
        '(struct item*)nothing',
        '"text"',
        'sizeof("text")',
        '/x numbers',
        '/x -1',
        '/t 10',
        '/c 65',
      ],
      ...['add(2, 3)', 'add(2.9, 3)', 'half(5)', 'scaled(1.5, 3)', 'wrap(255)', 'negative()', 'is_even(4)'],
      ...[
        'next_color(RED)',
        'next_color(next_color(RED))',
        'make_pair(3, 0.5)',
        'pair_sum(make_pair(3, 0.5))',
      ],
      ...[
        'make_small(-2, 65)',
        'small_sum(make_small(2, 3))',
        'make_floats(2.5)',
        'floats_difference(make_floats(2))',
      ],
      ...[
        'make_large(3)',
        'large_sum(make_large(3))',
        'large_sum(large)',
        'make_large(3).values[4]',
        'find(100)',
      ],
      ...['find(200)->name', '*find(100)', 'name_of(200)', 'apply(add, 3, 4)', 'apply(operation, 5, 6)'],
      ...['many(1, 2, 3, 4, 5, 6, 7, 8.5)', 'step(1)', "'values-more.c'::step(1)", 'counter', 'far_count()'],
      ...[
        "'values-more.c'::counter",
        '$_strlen("four")',
        '$rbx == $rbx',
        '$eflags & 0x200',
        '$nonsense',
        'turn++',
        'turn = 9',
      ],
      ...[
        'nosuch',
        'item->nosuch',
        'turn.key',
        '*nothing',
        '*(int*)0',
        '1 +',
        '(struct nosuch*)0',
        'numbers[0',
      ],
    ],
  },
  {
    trace: 'rome-pku/objects',
    file: 'mmap_copy_4_objects',
    place: 'shop::Account::pay',
    hit: 2,
    expressions: [
      ...[
        'amount',
        'where',
        'where.x + where.y',
        'how',
        'this',
        '*this',
        'this->balance',
        'balance',
        'name',
        'tag',
      ],
      ...[
        'weight()',
        'this->weight()',
        'payments()',
        'after(2.5)',
        'first.after(1)',
        'history',
        'history.size()',
      ],
      ...[
        'history.items[0]',
        'shop::first.name',
        'first',
        'partner->name',
        '*partner',
        'count()',
        'code',
        'level',
      ],
      ...[
        'shop::Account::count()',
        'shop::Account::opened',
        'checked(-3)',
        'checked(-3.5)',
        'checked("text")',
      ],
      ...[
        'checked((const char*)0)',
        'larger<int>(3, 4)',
        'shop::larger<double>(2.5, 1)',
        'corners',
        'corners.top()',
      ],
      ...[
        'corners.items[0] + corners.items[1]',
        'corners.items[0] == corners.items[1]',
        'corners.items[1][1]',
      ],
      ...[
        'anyone',
        '*anyone',
        'anyone->weight()',
        'handler',
        'column',
        'first.*column',
        'hidden',
        'secret(2)',
      ],
      ...['shop_total', '::shop_total', 'shop::Level::low', '(int)level', 'Level::high == level', 'large'],
      ...['flag && !flag', 'wide', 'sixteen', 'home', '&home', 'home.x', 'static_cast<shop::Tagged*>(this)'],
      ...[
        'sizeof(shop::Account)',
        'first.pay(5, corners.items[0], shop::Level::low)',
        'shop::Account::pay',
        'true',
      ],
      ...['nosuch', 'this->nosuch', 'shop::nosuch', 'first.nosuch()', 'checked()', 'history.top()'],
    ],
  },
  {
    trace: 'rome-pku/shapes',
    file: 'mmap_copy_4_shapes',
    place: 'shapes::look',
    hit: 2,
    expressions: [
      ...[
        'turn',
        'weight',
        'item',
        '*item',
        'item.key',
        'item.name',
        'item.color',
        'item.shape',
        'item.next',
        'flag',
      ],
      ...[
        'item.pair',
        'item.pair.1',
        '*item.next.0',
        'numbers',
        'numbers[1]',
        'numbers.length',
        'shapes::NUMBERS',
      ],
      ...[
        'shapes::COUNTER',
        'shapes::COUNTER as i32',
        'turn * 2 + 1',
        'turn as u8',
        'weight / 4.0',
        '!flag',
        '-turn',
      ],
      ...[
        'turn == 1 && flag',
        'shapes::add(2, 3)',
        'shapes::half(3.0)',
        'item.doubled()',
        '&turn',
        '[1, 2]',
        '(1, 2)',
      ],
      ...[
        'sizeof(item)',
        "'x'",
        '"text"',
        '0xff_u8',
        '$rsp as u64 == $rsp as u64',
        'nosuch',
        'item.nosuch',
        '1 +',
      ],
    ],
  },
];

/** The stack of another run is at another address. */
const settled = (text: string): string => text.replace(/0x7ff[0-9a-f]{9}/g, 'STACK');
/** We show the text of a pointer to characters, gdb its address, too. */
const withoutAddress = (text: string): string => text.replace(/^0x[0-9a-f]+ (?:<[^>]*> )?(?=")/, '');

let folder: string;
let liveGdb: LiveGdb;
beforeAll(() => {
  liveGdb = prepareLiveGdb();
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'expressions-'));
});
afterAll(() => {
  liveGdb.close();
  fs.rmSync(folder, { recursive: true });
});

/** What gdb prints of the live program there, without `$1 = `; errors too. */
async function live({ trace, file, place, hit, expressions }: Subject): Promise<string[]> {
  const program = path.join(folder, file);
  fs.copyFileSync(path.join(sample(trace), file), program);
  fs.chmodSync(program, 0o700);
  const prints = expressions.flatMap((text) => ['echo \\n@@@\\n', `print ${text}`]);
  const commands = [
    `file ${program}`,
    ...liveGdb.commands,
    'set unwindonsignal on',
    `break ${place}`,
    'run > /dev/null',
    ...Array.from({ length: hit - 1 }, () => 'continue'),
    'delete',
    ...prints,
    'echo \\n@@@\\n',
    'kill',
  ];
  const { text } = await runGdb(commands, undefined, liveGdb.env);
  const parts = text.split('\n@@@\n').slice(1, -1);
  return parts.map((part) => part.trim().replace(/^(?:warning: .*\n)?\$\d+ = /, ''));
}

async function standing({ trace, place, hit }: Subject): Promise<Replay> {
  const replay = await Replay.open(sample(trace), { machine: MACHINE });
  for (let arrived = 0; arrived < hit; arrived++) await replay.runTo(place);
  return replay;
}

const answer = (replay: Replay, text: string): Promise<string> =>
  replay.evaluate(text).then(
    (result) => result.text,
    (error: Error) => error.message,
  );

describe.each(SUBJECTS)('in $trace at $place', (subject) => {
  it(`${subject.expressions.length} expressions are what gdb prints of the live program`, async () => {
    const right = await live(subject);
    const replay = await standing(subject);
    try {
      const ours: Record<string, string> = {};
      for (const text of subject.expressions) ours[text] = settled(await answer(replay, text));
      const expected = subject.expressions.map((text, index) => [
        text,
        settled(withoutAddress(right[index])),
      ]);
      expect(ours).toEqual(Object.fromEntries(expected));
    } finally {
      await replay.close();
    }
  });
});
