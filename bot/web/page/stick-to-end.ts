import { noChange } from 'lit-html';
import { Directive, directive, type ElementPart } from 'lit-html/directive.js';

const nearPixels = 48;

/** Keeps a log at its end while it grows, unless the reader has scrolled up; a new `key` (the own line) goes to the end in any case. */
class StickToEnd extends Directive {
  #key: number | undefined;

  render(_key: number | undefined): unknown {
    return noChange;
  }

  override update({ element }: ElementPart, [key]: [number | undefined]): unknown {
    // Asked before the children are drawn anew.
    const isAtEnd = element.scrollHeight - element.scrollTop - element.clientHeight < nearPixels;
    const isOwn = key !== this.#key;
    this.#key = key;
    if (isAtEnd || isOwn) queueMicrotask(() => element.scrollTo({ top: element.scrollHeight }));
    return noChange;
  }
}

export const stickToEnd = directive(StickToEnd);
