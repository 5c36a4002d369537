import { noChange } from 'lit-html';
import { Directive, directive, type ElementPart } from 'lit-html/directive.js';

/**
 * Sizes and places that are only known at run time, by property name, e.g. `{ top: '40px' }`; always the same names at one place.
 *
 * Through the browser's objects and never as a `style` attribute, which the page's security policy forbids. lit's own `styleMap` writes the
 * attribute at the first drawing.
 */
class Styled extends Directive {
  private known: Readonly<Record<string, string>> = {};

  render(_properties: Readonly<Record<string, string>>): unknown {
    return noChange;
  }

  override update({ element }: ElementPart, [properties]: [Readonly<Record<string, string>>]): unknown {
    if (!(element instanceof HTMLElement || element instanceof SVGElement)) return noChange;
    for (const [name, value] of Object.entries(properties)) {
      if (this.known[name] !== value) element.style.setProperty(name, value);
    }
    this.known = properties;
    return noChange;
  }
}

export const styled = directive(Styled);
