/** What `ci` and `worker` take from their environment. */
export interface CiEnvironment {
  version: string;
  variables: NodeJS.ProcessEnv;
  /** Milliseconds of the epoch. */
  date: () => number;
}
