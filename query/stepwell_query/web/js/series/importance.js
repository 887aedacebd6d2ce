/** The order of importance of metrics, by their names. */

/** Parts of names that most trainings are judged by. */
const WATCHED = [/(^|[^a-z])loss/, /(^|[^a-z])acc(uracy)?($|[^a-z])/, /^(val|valid|validation|eval|test)($|[^a-z])/];

/** Metrics of which high values are bad, and of which low ones are. */
const HIGH_IS_BAD = /(^|[^a-z])(loss|error|err|perplexity|ppl|nll|mse|rmse|mae|wer|cer|fid)/;
const LOW_IS_BAD = /(^|[^a-z])(acc|accuracy|f1|auc|auroc|map|iou|miou|bleu|rouge|psnr|ssim|reward|return)($|[^a-z])/;

/**
 * Return in which direction the values of a metric are bad: 1 for high ones, -1 for low ones, 0 if its name does not say.
 * @param {string} name
 */
export function badDirection(name) {
  const lower = name.toLowerCase();
  return HIGH_IS_BAD.test(lower) ? 1 : LOW_IS_BAD.test(lower) ? -1 : 0;
}

/**
 * Return the rank of a key or a section: loss, accuracy and validation come first, then all others.
 * @param {string} name
 */
export function importance(name) {
  const lower = name.toLowerCase();
  const at = WATCHED.findIndex((expression) => expression.test(lower));
  return at < 0 ? WATCHED.length : at;
}
