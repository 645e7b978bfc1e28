/** Calls in diversions that use what the recorded program had open: descriptors without a path, files as of that moment. */
import fs from 'node:fs';
import { expect } from 'vitest';
import { Replay } from '../../src/index.js';
import { caseTrace, itOn } from '../collections.js';
import { MACHINE } from '../machines.js';

/** The texts of expressions, each in its own diversion, at each arrival at a symbol. */
async function ask(folder: string, place: string, times: number, expressions: string[]): Promise<string[][]> {
  const replay = await Replay.open(folder, { machine: MACHINE });
  try {
    const answers: string[][] = [];
    for (let time = 0; time < times; time++) {
      await replay.runTo(place);
      const texts: string[] = [];
      for (const expression of expressions)
        await replay.divert(async (d) => void texts.push((await d.evaluate(expression)).text));
      answers.push(texts);
    }
    return answers;
  } finally {
    await replay.close();
  }
}

itOn(
  caseTrace('evloop'),
  'an event loop in another thread is woken by eventfd and epoll',
  async (folder) => {
    expect(await ask(folder, 'here', 1, ['patient(6)', 'post()'])).toEqual([['7', '2']]);
  },
  120_000,
);

itOn(
  caseTrace('clocksfds'),
  'epoll, eventfd, timerfd, memfd and pipes have the state of that moment',
  async (folder) => {
    const expressions = ['ep_wait()', 'ev_ready()', 'tf_read()', 'mf_read()', 'pp_rw()'];
    expect(await ask(folder, 'spot', 1, expressions)).toEqual([['0', '1', '8', '4', '2']]);
  },
  120_000,
);

const CONTENTS = [
  ['"first"', '5', '"first"', '2147396', '2147396', '65024'],
  ['"SECOND"', '6', '"SECOND"', '2147396', '2147396', '65024'],
  ['"SEC"', '3', '"SEC"', '2147396', '2147396', '65024'],
];
const QUESTIONS = ['(char*)get()', 'size_fd()', '(char*)reopen()', 'ino_path()', 'ino_fd()', 'dev_fd()'];

itOn(
  caseTrace('ownfile'),
  "a file that the program wrote has its contents of that moment, not this machine's",
  async (folder) => {
    const today = '/tmp/revenant-case-ownfile';
    fs.rmSync(today, { force: true });
    expect(await ask(folder, 'spot', 3, QUESTIONS)).toEqual(CONTENTS);
    fs.writeFileSync(today, 'something of today');
    try {
      expect(await ask(folder, 'spot', 3, QUESTIONS)).toEqual(CONTENTS);
    } finally {
      fs.rmSync(today);
    }
  },
  120_000,
);

itOn(
  caseTrace('ownfile-gone'),
  'a file that the program removed is there before, and not after',
  async (folder) => {
    const answers = await ask(folder, 'spot', 4, ['(char*)get()', '(char*)reopen()']);
    expect(answers.slice(0, 3)).toEqual(CONTENTS.map(([get, , reopen]) => [get, reopen]));
    expect(answers[3]).toEqual(['"error 9"', '"error 2"']);
  },
  120_000,
);

itOn(
  caseTrace('shop'),
  'SQLite reads and writes the database of that moment',
  async (folder) => {
    const questions = [
      'ask("insert into t(name,price) values(\'cherry\', 9)")',
      'ask("vacuum")',
      'ask("select 1 from t where name = \'pear\' and price = 4.5")',
    ];
    expect(await ask(folder, 'checkpoint_', 2, questions)).toEqual([
      ['0', '0', '0'],
      ['0', '0', '0'],
    ]);
    const replay = await Replay.open(folder, { machine: MACHINE });
    try {
      const rows: string[] = [];
      for (let moment = 0; moment < 4; moment++) {
        await replay.runTo('checkpoint_');
        await replay.divert(async (d) => {
          await d.evaluate('ask("select group_concat(price) as prices from t")');
          rows.push(d.stdout);
        });
      }
      expect(rows).toEqual(
        ['1.5,2.25,0.75', '1.5,4.5,1.5', '1.5,4.5,1.5', '1.5,1.5'].map((prices) => `prices=${prices}\n`),
      );
    } finally {
      await replay.close();
    }
  },
  120_000,
);
