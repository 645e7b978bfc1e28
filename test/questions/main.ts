/** `npm run questions`: a table of what gdb says of programs that run and of their recordings; and the answers that differ. */
import { compare, whyNotLive } from './ask.js';
import { programs } from './lists.js';
import { traceOf } from './programs.js';

const total = (seconds: readonly number[]): string => seconds.reduce((sum, each) => sum + each, 0).toFixed(2);

let different = 0;
process.stdout.write('program   same      live s  forwards s  backwards s\n');
for (const program of programs) {
  const trace = traceOf(program);
  const reason = whyNotLive(trace);
  if (reason !== null) {
    process.stdout.write(`${program.name.padEnd(10)}left out: ${reason}\n`);
    continue;
  }
  const answers = await compare(trace, program);
  const others = answers.filter(({ live, forwards, backwards }) => live !== forwards || live !== backwards);
  different += others.length;
  const times = [0, 1, 2].map((index) => total(answers.map(({ seconds }) => seconds[index])));
  const same = `${answers.length - others.length} of ${answers.length}`;
  process.stdout.write(
    `${program.name.padEnd(10)}${same.padEnd(10)}${times[0].padStart(6)}${times[1].padStart(12)}${times[2].padStart(13)}\n`,
  );
  for (const { question, live, forwards, backwards } of others)
    process.stdout.write(`\n${question}\n-- live\n${live}-- forwards\n${forwards}-- backwards\n${backwards}`);
}
process.exitCode = different === 0 ? 0 : 1;
