/** Where traces are put for workers on other machines: objects by key, never changed once they are there. */
export interface Store {
  /** Whether it can be used at all; what it refuses is thrown. */
  check(): Promise<void>;
  has(key: string): Promise<boolean>;
  /** Puts a file there. Nothing is seen of it until it is whole. */
  put(key: string, file: string): Promise<void>;
  /** Writes the object to a file. Throws when there is none. */
  get(key: string, file: string): Promise<void>;
}
