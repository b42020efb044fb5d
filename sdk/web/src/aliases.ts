// Numbers for topics with their content types, of one class stream of one connection.

import { create } from '@bufbuild/protobuf';
import { TopicAliasSchema } from './gen/macula/v1/message_pb.js';
import { frame } from './wire/frames.js';
import { Kind } from './wire/kinds.js';

/** What the gateway has been told. */
export class Aliases {
  readonly #byName = new Map<string, number>();
  readonly #names: string[] = [];
  readonly #limit: number;
  #next = 0;

  constructor(limit: number) {
    this.#limit = Math.max(1, limit);
  }

  /** The alias of a name; `tell` gets the frame that gives it its meaning, where that is news. */
  find(topic: string, contentType: string, tell: (frame: Uint8Array) => void): number {
    const name = `${topic}\0${contentType}`;
    const known = this.#byName.get(name);
    if (known !== undefined) return known;
    // With all numbers in use the next in turn gets another meaning, which holds from there on.
    const index = this.#next % this.#limit;
    this.#next++;
    const before = this.#names[index];
    if (before !== undefined) this.#byName.delete(before);
    this.#names[index] = name;
    const alias = index + 1;
    this.#byName.set(name, alias);
    tell(frame(Kind.topicAlias, TopicAliasSchema, create(TopicAliasSchema, { alias, topic, contentType })));
    return alias;
  }
}
