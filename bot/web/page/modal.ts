import { noChange } from 'lit-html';
import { Directive, directive, type ElementPart } from 'lit-html/directive.js';

/** Opens or closes the `<dialog>` that it stands on; closed by its own `close()`, so that the browser gives the focus back. */
class Modal extends Directive {
  render(_isOpen: boolean): unknown {
    return noChange;
  }

  override update({ element }: ElementPart, [isOpen]: [boolean]): unknown {
    if (!(element instanceof HTMLDialogElement) || element.open === isOpen) return noChange;
    if (!isOpen) element.close();
    // Only once its content stands in the document, so that its first field gets the focus.
    else queueMicrotask(() => element.isConnected && !element.open && element.showModal());
    return noChange;
  }
}

export const modal = directive(Modal);
