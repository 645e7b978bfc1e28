import type { JobResult } from '../model/result.js';
import type { JobSpec } from '../model/spec.js';
import type { JobListener, RunningJob } from './process.js';

export type StartJob = (spec: JobSpec, listener: JobListener) => RunningJob;

const worthRetrying = ({ state }: JobResult): boolean => state === 'failed' || state === 'error';

/** A job whose machine was lost where it asks, or keeps a checkpoint, is done again: that is no failure of its. */
const MOST_LOSSES = 5;
const lostMachine = ({ problems }: JobResult): boolean =>
  problems.some(({ code }) => code === 'E_MACHINE_LOST');

/** Tries a job as often as it asks for; the result tells how often, and whether it is flaky. */
export function retrying(start: StartJob): StartJob {
  return (spec, listener) => {
    let cancelled = false;
    let current = start(spec, listener);
    const attempt = async (): Promise<JobResult> => {
      for (let attempts = 1, losses = 0; ; attempts++) {
        const result = await current.result;
        if (!cancelled && lostMachine(result) && ++losses <= MOST_LOSSES) {
          listener.note('its machine was lost; once more');
          current = start(spec, listener);
          attempts--;
          continue;
        }
        if (!cancelled && worthRetrying(result) && attempts <= spec.retries) {
          listener.note(`attempt ${attempts + 1}`);
          current = start(spec, listener);
          continue;
        }
        return { ...result, attempts, flaky: attempts > 1 && result.state === 'passed' };
      }
    };
    return {
      result: attempt(),
      cancel: () => {
        cancelled = true;
        current.cancel();
      },
    };
  };
}
