// The smallest language model, written by hand: the logits after a token are that token's row of a table.
// docs/custom-programs.md walks through it. It keeps no state, so that it returns the cache as it came.

#row = affine_map<(n, v) -> (n, v)>

module @module {
  util.global private @table = #flow.parameter.named<"model"::"table"> : tensor<256x256xf32>

  func.func @prefill_bs1(
      %tokens: tensor<1x?xi64>, %start_positions: tensor<1xi64>, %seq_lens: tensor<1xi64>,
      %page_ids: tensor<1x?xi64>, %cache: tensor<?x32xf32>)
      -> (tensor<1x256xf32>, tensor<?x32xf32>, tensor<?x256xf32>) {
    %zero = arith.constant 0 : index
    %one = arith.constant 1 : index
    %table = util.global.load @table : tensor<256x256xf32>
    %length = tensor.dim %tokens, %one : tensor<1x?xi64>

    // hidden: a row for each token, padding included.
    %rows = tensor.empty(%length) : tensor<?x256xf32>
    %hidden = linalg.generic {indexing_maps = [#row], iterator_types = ["parallel", "parallel"]}
        outs(%rows : tensor<?x256xf32>) {
    ^bb0(%out: f32):
      %at = linalg.index 0 : index
      %column = linalg.index 1 : index
      %token = tensor.extract %tokens[%zero, %at] : tensor<1x?xi64>
      %row = arith.index_cast %token : i64 to index
      %value = tensor.extract %table[%row, %column] : tensor<256x256xf32>
      linalg.yield %value : f32
    } -> tensor<?x256xf32>

    // logits: the row of the last valid token, which is number seq_lens - start_positions - 1 of this call.
    %one_row = tensor.empty() : tensor<1x256xf32>
    %logits = linalg.generic {indexing_maps = [#row], iterator_types = ["parallel", "parallel"]}
        outs(%one_row : tensor<1x256xf32>) {
    ^bb0(%out: f32):
      %n = linalg.index 0 : index
      %column = linalg.index 1 : index
      %start = tensor.extract %start_positions[%n] : tensor<1xi64>
      %end = tensor.extract %seq_lens[%n] : tensor<1xi64>
      %count = arith.subi %end, %start : i64
      %behind = arith.index_cast %count : i64 to index
      %last = arith.subi %behind, %one : index
      %value = tensor.extract %hidden[%last, %column] : tensor<?x256xf32>
      linalg.yield %value : f32
    } -> tensor<1x256xf32>
    return %logits, %cache, %hidden : tensor<1x256xf32>, tensor<?x32xf32>, tensor<?x256xf32>
  }

  // seq_lens come before start_positions here, and there is one token.
  func.func @decode_bs1(
      %tokens: tensor<1x1xi64>, %seq_lens: tensor<1xi64>, %start_positions: tensor<1xi64>,
      %page_ids: tensor<1x?xi64>, %cache: tensor<?x32xf32>)
      -> (tensor<1x256xf32>, tensor<?x32xf32>) {
    %zero = arith.constant 0 : index
    %table = util.global.load @table : tensor<256x256xf32>
    %one_row = tensor.empty() : tensor<1x256xf32>
    %logits = linalg.generic {indexing_maps = [#row], iterator_types = ["parallel", "parallel"]}
        outs(%one_row : tensor<1x256xf32>) {
    ^bb0(%out: f32):
      %n = linalg.index 0 : index
      %column = linalg.index 1 : index
      %token = tensor.extract %tokens[%n, %zero] : tensor<1x1xi64>
      %row = arith.index_cast %token : i64 to index
      %value = tensor.extract %table[%row, %column] : tensor<256x256xf32>
      linalg.yield %value : f32
    } -> tensor<1x256xf32>
    return %logits, %cache : tensor<1x256xf32>, tensor<?x32xf32>
  }

  // Rows of hidden are logits already.
  func.func @head(%hidden: tensor<?x256xf32>) -> tensor<?x256xf32> {
    return %hidden : tensor<?x256xf32>
  }
}
