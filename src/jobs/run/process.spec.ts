import { describe, expect, it } from 'vitest';
import { sampleSpec } from '../../../test/jobs/sample-report.js';
import { startJob } from './process.js';

/** Starts a worker that is this script. */
function start(script: string, timeoutSeconds = 60) {
  const heard: string[] = [];
  const job = startJob({
    program: { args: ['-e', script], heapMiB: 64 },
    spec: sampleSpec('job', { limits: { timeoutSeconds, memoryBytes: null, stallSeconds: 60 } }),
    artifacts: null,
    now: () => performance.now(),
    listener: {
      progress: ({ frame }) => heard.push(`frame ${frame}`),
      note: (text) => heard.push(text),
    },
  });
  return { job, heard };
}

describe('a worker process', () => {
  it('sends progress and its result', async () => {
    const { job, heard } = start(`process.once('message', ({ spec }) => {
      process.send({ kind: 'progress', phase: 'replaying', frame: 3, frames: 9 });
      process.send({ kind: 'note', text: 'hello' });
      const result = { name: spec.name, state: 'passed', problems: [] };
      process.send({ kind: 'result', result }, () => process.exit(0));
    })`);
    expect(await job.result).toMatchObject({ name: 'job', state: 'passed' });
    expect(heard).toEqual(['frame 3', 'hello']);
  });

  it.each([
    ['exits without output', `console.error('oops'); process.exit(3)`, /ended with exit status 3/, 'worker'],
    ['crashes', `process.kill(process.pid, 'SIGSEGV')`, /ended by SIGSEGV/, 'worker'],
    [
      'runs out of memory',
      `const all = []; for (;;) all.push(new Array(1e5).fill(all.length));`,
      /worker process ran out of memory/,
      'memory',
    ],
  ])('that %s is an error, not ours', async (_what, script, message, kind) => {
    const result = await start(script).job.result;
    expect(result.state).toBe('error');
    expect(result.problems[0].message).toMatch(message);
    expect(result.problems[0].kind).toBe(kind);
  });

  it('has failed as it said before it was killed', async () => {
    const { job, heard } = start(
      `process.once('message', ({ spec }) => {
        const problems = [{ kind: 'divergence', message: 'The replay diverged.' }];
        process.send({ kind: 'provisional', result: { name: spec.name, state: 'failed', problems } });
        process.send({ kind: 'note', text: 'failed' });
        setInterval(() => {}, 1000);
      })`,
    );
    await expect.poll(() => heard, { timeout: 600_000 }).toEqual(['failed']);
    job.cancel();
    const result = await job.result;
    expect(result).toMatchObject({ state: 'failed', problems: [{ kind: 'divergence' }] });
    expect(result.log).toMatch(/Not all of the failure was kept. Not run/);
  });

  it('is killed when its time is over, or when it is cancelled', async () => {
    const forever = `process.once('message', () => { for (;;); })`;
    const late = await start(forever, 0.5).job.result;
    expect(late).toMatchObject({ state: 'error', problems: [{ kind: 'timeout' }] });
    const { job } = start(forever);
    job.cancel();
    expect((await job.result).problems[0].message).toBe('Not run: interrupted.');
  });
});
