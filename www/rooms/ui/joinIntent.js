/**
 * What a press of the join button means. The button's text and the press use the same answer, so that what the button says
 * is what happens. Pure.
 */

/**
 * @typedef {"send" | "watch"} JoinIntent
 * `send`: microphone and camera are used as soon as they are open. `watch`: nothing is opened until the user switches it on.
 */

/**
 * Only the user can change `watch` into `send`, by trying again or by switching a device on. When devices fail, `send`
 * becomes `watch` by itself; a press at that moment means the same either way, since nothing is left that could be opened.
 * @param {{ wantsMicrophone: boolean, wantsCamera: boolean }} media
 * @returns {JoinIntent}
 */
export function joinIntent({ wantsMicrophone, wantsCamera }) {
  return wantsMicrophone || wantsCamera ? "send" : "watch";
}
