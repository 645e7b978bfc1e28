import type { JobResult } from '../model/result.js';
import type { JobSpec } from '../model/spec.js';
import type { JobListener, RunningJob } from './process.js';

export type StartJob = (spec: JobSpec, listener: JobListener) => RunningJob;

const worthRetrying = ({ state }: JobResult): boolean => state === 'failed' || state === 'error';

/**
 * A job whose machine was lost while it evaluates questions, or writes a checkpoint, is run again: this is not a
 * failure of the job.
 */
const MOST_LOSSES = 5;
const lostMachine = ({ problems }: JobResult): boolean =>
  problems.some(({ code }) => code === 'E_MACHINE_LOST');

/** Retries a job as configured; the result has the number of attempts, and whether it is flaky. */
export function retrying(start: StartJob): StartJob {
  return (spec, listener) => {
    let cancelled = false;
    let current = start(spec, listener);
    const attempt = async (): Promise<JobResult> => {
      for (let attempts = 1, losses = 0; ; attempts++) {
        const result = await current.result;
        if (!cancelled && lostMachine(result) && ++losses <= MOST_LOSSES) {
          listener.note('its machine was lost; retrying');
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
