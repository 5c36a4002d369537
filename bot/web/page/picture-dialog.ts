import { html, nothing, type TemplateResult } from 'lit-html';
import { dialogHead } from './dialog-parts.ts';
import { modal } from './modal.ts';
import type { Page } from './page.ts';

/** A console picture as large as the window allows. */
export function pictureDialog(page: Page): TemplateResult {
  const { picture } = page.state.talk;
  const close = () => page.dispatch({ kind: 'talk-picture', picture: undefined });
  return html`<dialog class="dialog dialog-picture" aria-labelledby="picture-title" ${modal(picture !== undefined)} @close=${() => page.state.talk.picture !== undefined && close()}>
    ${
      picture === undefined
        ? nothing
        : html`${dialogHead({ id: 'picture-title', title: picture.altText, close })} <img src=${picture.url} alt=${picture.altText} />`
    }
  </dialog>`;
}
