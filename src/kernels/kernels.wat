;; The inner loops that run on the slab itself: the internet checksum, and the byte work around the
;; two OpenSSL primitives that the composed AEAD is made of.
;;
;; `scripts/build_kernels.ts` assembles this file into `kernels_wasm.ts`; `kernels.ts` instantiates
;; it. The memory is the slab's, so every address is a place in the slab. Nothing here allocates,
;; holds state or has a data segment: any number of workers may instantiate it over one slab.
;;
;; The AEAD's functions share a scratch area `$s`, laid out as `src/crypto/aead_scratch.ts` has it:
;;
;;      0 ChaCha20's key (32)   128 tag (16)             192 64 bytes saved from before the message
;;     32 its iv (16)          144 saved tag (16)       256 48 bytes saved from behind its tag
;;     48 rest of its state    160 Poly1305 key (32)    320 addresses (8 each)
(module
  (import "env" "memory" (memory 1 65536 shared))

  ;; --- the internet checksum ---------------------------------------------------------------------

  ;; Folds 32-bit lanes and a 64-bit sum of 16-bit words to a value of at most 16 bits, congruent
  ;; modulo 0xffff and zero only when nothing but zeros was added.
  ;;
  ;; $all holds the wrapping sum of the 32-bit lanes as they were read, $high the sum of their upper
  ;; halves; so the lower halves' sum is $all - ($high << 16), exact while it stays below 2^32.
  (func $fold (param $all v128) (param $high v128) (param $rest i64) (result i32)
    (local $low v128)
    (local.set $low
      (i32x4.sub (local.get $all) (i32x4.shl (local.get $high) (i32.const 16))))
    (local.set $low
      (i64x2.add
        (i64x2.add
          (i64x2.extend_low_i32x4_u (local.get $low))
          (i64x2.extend_high_i32x4_u (local.get $low)))
        (i64x2.add
          (i64x2.extend_low_i32x4_u (local.get $high))
          (i64x2.extend_high_i32x4_u (local.get $high)))))
    (local.set $rest
      (i64.add
        (local.get $rest)
        (i64.add
          (i64x2.extract_lane 0 (local.get $low))
          (i64x2.extract_lane 1 (local.get $low)))))
    ;; 64 -> 33 bits -> 18 bits -> 17 bits -> 16 bits
    (local.set $rest
      (i64.add
        (i64.and (local.get $rest) (i64.const 0xffffffff))
        (i64.shr_u (local.get $rest) (i64.const 32))))
    (local.set $rest
      (i64.add
        (i64.and (local.get $rest) (i64.const 0xffff))
        (i64.shr_u (local.get $rest) (i64.const 16))))
    (local.set $rest
      (i64.add
        (i64.and (local.get $rest) (i64.const 0xffff))
        (i64.shr_u (local.get $rest) (i64.const 16))))
    (i32.wrap_i64
      (i64.add
        (i64.and (local.get $rest) (i64.const 0xffff))
        (i64.shr_u (local.get $rest) (i64.const 16)))))

  ;; The sum of $len bytes at $at plus $initial; $len is at most 1 MiB, so that no lane overflows.
  (func (export "sum") (param $at i32) (param $len i32) (param $initial i32) (result i32)
    (local $end i32)
    (local $all v128) (local $high v128) (local $all2 v128) (local $high2 v128)
    (local $a v128) (local $b v128)
    (local $rest i64) (local $w i64)
    (local.set $rest (i64.extend_i32_u (local.get $initial)))

    (local.set $end (i32.add (local.get $at) (i32.and (local.get $len) (i32.const -64))))
    (block $done64
      (br_if $done64 (i32.eq (local.get $at) (local.get $end)))
      (loop $by64
        (local.set $a (v128.load offset=0 align=1 (local.get $at)))
        (local.set $b (v128.load offset=16 align=1 (local.get $at)))
        (local.set $all (i32x4.add (local.get $all) (local.get $a)))
        (local.set $high
          (i32x4.add (local.get $high) (i32x4.shr_u (local.get $a) (i32.const 16))))
        (local.set $all2 (i32x4.add (local.get $all2) (local.get $b)))
        (local.set $high2
          (i32x4.add (local.get $high2) (i32x4.shr_u (local.get $b) (i32.const 16))))
        (local.set $a (v128.load offset=32 align=1 (local.get $at)))
        (local.set $b (v128.load offset=48 align=1 (local.get $at)))
        (local.set $all (i32x4.add (local.get $all) (local.get $a)))
        (local.set $high
          (i32x4.add (local.get $high) (i32x4.shr_u (local.get $a) (i32.const 16))))
        (local.set $all2 (i32x4.add (local.get $all2) (local.get $b)))
        (local.set $high2
          (i32x4.add (local.get $high2) (i32x4.shr_u (local.get $b) (i32.const 16))))
        (local.set $at (i32.add (local.get $at) (i32.const 64)))
        (br_if $by64 (i32.ne (local.get $at) (local.get $end)))))
    (local.set $all (i32x4.add (local.get $all) (local.get $all2)))
    (local.set $high (i32x4.add (local.get $high) (local.get $high2)))

    (local.set $end (i32.add (local.get $at) (i32.and (local.get $len) (i32.const 48))))
    (block $done16
      (br_if $done16 (i32.eq (local.get $at) (local.get $end)))
      (loop $by16
        (local.set $a (v128.load align=1 (local.get $at)))
        (local.set $all (i32x4.add (local.get $all) (local.get $a)))
        (local.set $high
          (i32x4.add (local.get $high) (i32x4.shr_u (local.get $a) (i32.const 16))))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br_if $by16 (i32.ne (local.get $at) (local.get $end)))))

    (if (i32.and (local.get $len) (i32.const 8))
      (then
        (local.set $w (i64.load align=1 (local.get $at)))
        (local.set $rest
          (i64.add
            (local.get $rest)
            (i64.add
              (i64.and (local.get $w) (i64.const 0xffffffff))
              (i64.shr_u (local.get $w) (i64.const 32)))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))))
    (if (i32.and (local.get $len) (i32.const 4))
      (then
        (local.set $rest
          (i64.add (local.get $rest) (i64.load32_u align=1 (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 4)))))
    (if (i32.and (local.get $len) (i32.const 2))
      (then
        (local.set $rest
          (i64.add (local.get $rest) (i64.load16_u align=1 (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 2)))))
    (if (i32.and (local.get $len) (i32.const 1))
      (then
        (local.set $rest (i64.add (local.get $rest) (i64.load8_u (local.get $at))))))
    (call $fold (local.get $all) (local.get $high) (local.get $rest)))

  ;; Copies $len bytes from $from to $to, lowest first, and returns their sum plus $initial. The
  ;; destination may overlap the source only from below; every round loads before it stores.
  (func (export "copy_sum")
    (param $to i32) (param $from i32) (param $len i32) (param $initial i32) (result i32)
    (local $end i32)
    (local $all v128) (local $high v128) (local $all2 v128) (local $high2 v128)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local $rest i64) (local $w i64)
    (local.set $rest (i64.extend_i32_u (local.get $initial)))

    (local.set $end (i32.add (local.get $from) (i32.and (local.get $len) (i32.const -64))))
    (block $done64
      (br_if $done64 (i32.eq (local.get $from) (local.get $end)))
      (loop $by64
        (local.set $a (v128.load offset=0 align=1 (local.get $from)))
        (local.set $b (v128.load offset=16 align=1 (local.get $from)))
        (local.set $c (v128.load offset=32 align=1 (local.get $from)))
        (local.set $d (v128.load offset=48 align=1 (local.get $from)))
        (v128.store offset=0 align=1 (local.get $to) (local.get $a))
        (v128.store offset=16 align=1 (local.get $to) (local.get $b))
        (v128.store offset=32 align=1 (local.get $to) (local.get $c))
        (v128.store offset=48 align=1 (local.get $to) (local.get $d))
        (local.set $all (i32x4.add (local.get $all) (local.get $a)))
        (local.set $high
          (i32x4.add (local.get $high) (i32x4.shr_u (local.get $a) (i32.const 16))))
        (local.set $all2 (i32x4.add (local.get $all2) (local.get $b)))
        (local.set $high2
          (i32x4.add (local.get $high2) (i32x4.shr_u (local.get $b) (i32.const 16))))
        (local.set $all (i32x4.add (local.get $all) (local.get $c)))
        (local.set $high
          (i32x4.add (local.get $high) (i32x4.shr_u (local.get $c) (i32.const 16))))
        (local.set $all2 (i32x4.add (local.get $all2) (local.get $d)))
        (local.set $high2
          (i32x4.add (local.get $high2) (i32x4.shr_u (local.get $d) (i32.const 16))))
        (local.set $from (i32.add (local.get $from) (i32.const 64)))
        (local.set $to (i32.add (local.get $to) (i32.const 64)))
        (br_if $by64 (i32.ne (local.get $from) (local.get $end)))))
    (local.set $all (i32x4.add (local.get $all) (local.get $all2)))
    (local.set $high (i32x4.add (local.get $high) (local.get $high2)))

    (local.set $end (i32.add (local.get $from) (i32.and (local.get $len) (i32.const 48))))
    (block $done16
      (br_if $done16 (i32.eq (local.get $from) (local.get $end)))
      (loop $by16
        (local.set $a (v128.load align=1 (local.get $from)))
        (v128.store align=1 (local.get $to) (local.get $a))
        (local.set $all (i32x4.add (local.get $all) (local.get $a)))
        (local.set $high
          (i32x4.add (local.get $high) (i32x4.shr_u (local.get $a) (i32.const 16))))
        (local.set $from (i32.add (local.get $from) (i32.const 16)))
        (local.set $to (i32.add (local.get $to) (i32.const 16)))
        (br_if $by16 (i32.ne (local.get $from) (local.get $end)))))

    (if (i32.and (local.get $len) (i32.const 8))
      (then
        (local.set $w (i64.load align=1 (local.get $from)))
        (i64.store align=1 (local.get $to) (local.get $w))
        (local.set $rest
          (i64.add
            (local.get $rest)
            (i64.add
              (i64.and (local.get $w) (i64.const 0xffffffff))
              (i64.shr_u (local.get $w) (i64.const 32)))))
        (local.set $from (i32.add (local.get $from) (i32.const 8)))
        (local.set $to (i32.add (local.get $to) (i32.const 8)))))
    (if (i32.and (local.get $len) (i32.const 4))
      (then
        (local.set $w (i64.load32_u align=1 (local.get $from)))
        (i64.store32 align=1 (local.get $to) (local.get $w))
        (local.set $rest (i64.add (local.get $rest) (local.get $w)))
        (local.set $from (i32.add (local.get $from) (i32.const 4)))
        (local.set $to (i32.add (local.get $to) (i32.const 4)))))
    (if (i32.and (local.get $len) (i32.const 2))
      (then
        (local.set $w (i64.load16_u align=1 (local.get $from)))
        (i64.store16 align=1 (local.get $to) (local.get $w))
        (local.set $rest (i64.add (local.get $rest) (local.get $w)))
        (local.set $from (i32.add (local.get $from) (i32.const 2)))
        (local.set $to (i32.add (local.get $to) (i32.const 2)))))
    (if (i32.and (local.get $len) (i32.const 1))
      (then
        (local.set $w (i64.load8_u (local.get $from)))
        (i64.store8 (local.get $to) (local.get $w))
        (local.set $rest (i64.add (local.get $rest) (local.get $w)))))
    (call $fold (local.get $all) (local.get $high) (local.get $rest)))

  ;; --- the composed AEAD: pieces -----------------------------------------------------------------

  (func $clear64 (param $at i32)
    (v128.store offset=0 align=1 (local.get $at) (v128.const i64x2 0 0))
    (v128.store offset=16 align=1 (local.get $at) (v128.const i64x2 0 0))
    (v128.store offset=32 align=1 (local.get $at) (v128.const i64x2 0 0))
    (v128.store offset=48 align=1 (local.get $at) (v128.const i64x2 0 0)))

  (func $copy48 (param $to i32) (param $from i32)
    (v128.store offset=0 align=1 (local.get $to) (v128.load offset=0 align=1 (local.get $from)))
    (v128.store offset=16 align=1 (local.get $to) (v128.load offset=16 align=1 (local.get $from)))
    (v128.store offset=32 align=1 (local.get $to) (v128.load offset=32 align=1 (local.get $from))))

  (func $copy64 (param $to i32) (param $from i32)
    (call $copy48 (local.get $to) (local.get $from))
    (v128.store offset=48 align=1 (local.get $to) (v128.load offset=48 align=1 (local.get $from))))

  ;; 1 when the 16 bytes at both places are equal; takes the same time whatever they are.
  (func $tags_equal (param $a i32) (param $b i32) (result i32)
    (i32.eqz
      (v128.any_true
        (v128.xor
          (v128.load align=1 (local.get $a))
          (v128.load align=1 (local.get $b))))))

  ;; Writes ChaCha20's key and its iv: block counter 0 in 4 bytes, then RFC 8439's nonce, which
  ;; WireGuard makes of 4 zero bytes and the 64-bit message counter.
  (func $set_key_and_iv (param $s i32) (param $key i32) (param $counter f64)
    (v128.store offset=0 (local.get $s) (v128.load offset=0 align=1 (local.get $key)))
    (v128.store offset=16 (local.get $s) (v128.load offset=16 align=1 (local.get $key)))
    (i64.store offset=32 (local.get $s) (i64.const 0))
    (i64.store offset=40 (local.get $s) (i64.trunc_f64_u (local.get $counter))))

  ;; The address of $at.
  (func $address (param $s i32) (param $at i32) (result i64)
    (i64.add (i64.load offset=320 (local.get $s)) (i64.extend_i32_u (local.get $at))))

  ;; Writes the addresses of a message, and of the blocks before it and before its output.
  (func $set_addresses (param $s i32) (param $at i32) (param $out i32)
    (i64.store offset=328 (local.get $s) (call $address (local.get $s) (local.get $at)))
    (i64.store offset=336 (local.get $s)
      (call $address (local.get $s) (i32.sub (local.get $at) (i32.const 64))))
    (i64.store offset=344 (local.get $s)
      (call $address (local.get $s) (i32.sub (local.get $out) (i32.const 64)))))

  ;; Writes what Poly1305 authenticates behind a ciphertext without associated data: zeros up to a
  ;; multiple of 16, then the two lengths, 0 and $len (RFC 8439, section 2.8).
  (func $write_lengths (param $behind i32) (param $len i32)
    (local $block i32)
    (v128.store align=1 (local.get $behind) (v128.const i64x2 0 0))
    (local.set $block
      (i32.add
        (local.get $behind)
        (i32.and (i32.sub (i32.const 0) (local.get $len)) (i32.const 15))))
    (i64.store offset=0 align=1 (local.get $block) (i64.const 0))
    (i64.store offset=8 align=1 (local.get $block) (i64.extend_i32_u (local.get $len))))

  ;; --- the composed AEAD: a message where it stands ---------------------------------------------

  ;; Saves the neighbours of a message, zeroes the block before it and writes the addresses. What
  ;; stands behind the tag is saved up to the 64-byte block that encryption may reach.
  (func (export "aead_seal_begin")
    (param $s i32) (param $key i32) (param $counter f64) (param $at i32) (param $len i32)
    (local $head i32)
    (local.set $head (i32.sub (local.get $at) (i32.const 64)))
    (call $copy64 (i32.add (local.get $s) (i32.const 192)) (local.get $head))
    (call $copy48
      (i32.add (local.get $s) (i32.const 256))
      (i32.add (i32.add (local.get $at) (local.get $len)) (i32.const 16)))
    (call $clear64 (local.get $head))
    (call $set_addresses (local.get $s) (local.get $at) (local.get $at))
    (call $set_key_and_iv (local.get $s) (local.get $key) (local.get $counter)))

  ;; Moves the Poly1305 key from the block before the message to the scratch area, puts the saved
  ;; bytes back over the block and completes Poly1305's input behind the ciphertext.
  (func (export "aead_seal_lengths") (param $s i32) (param $at i32) (param $len i32)
    (local $head i32)
    (local.set $head (i32.sub (local.get $at) (i32.const 64)))
    (v128.store offset=160 (local.get $s) (v128.load offset=0 align=1 (local.get $head)))
    (v128.store offset=176 (local.get $s) (v128.load offset=16 align=1 (local.get $head)))
    (call $copy64 (local.get $head) (i32.add (local.get $s) (i32.const 192)))
    (call $write_lengths (i32.add (local.get $at) (local.get $len)) (local.get $len)))

  ;; Writes the tag, puts back what stood behind it and wipes the Poly1305 key.
  (func (export "aead_seal_end") (param $s i32) (param $at i32) (param $len i32)
    (local $behind i32)
    (local.set $behind (i32.add (local.get $at) (local.get $len)))
    (v128.store align=1 (local.get $behind) (v128.load offset=128 (local.get $s)))
    (call $copy48
      (i32.add (local.get $behind) (i32.const 16))
      (i32.add (local.get $s) (i32.const 256)))
    (v128.store offset=160 (local.get $s) (v128.const i64x2 0 0))
    (v128.store offset=176 (local.get $s) (v128.const i64x2 0 0)))

  ;; Saves the tag and the 16 bytes behind it, zeroes the block before the ciphertext and writes the
  ;; addresses.
  (func (export "aead_open_begin")
    (param $s i32) (param $key i32) (param $counter f64) (param $at i32) (param $len i32)
    (param $out i32)
    (local $behind i32)
    (local.set $behind (i32.add (local.get $at) (local.get $len)))
    (v128.store offset=144 (local.get $s) (v128.load offset=0 align=1 (local.get $behind)))
    (v128.store offset=256 (local.get $s) (v128.load offset=16 align=1 (local.get $behind)))
    (call $clear64 (i32.sub (local.get $at) (i32.const 64)))
    (call $set_addresses (local.get $s) (local.get $at) (local.get $out))
    (call $set_key_and_iv (local.get $s) (local.get $key) (local.get $counter)))

  ;; Moves the Poly1305 key from the block before the output to the scratch area, wipes the block and
  ;; completes Poly1305's input behind the ciphertext.
  (func (export "aead_open_lengths")
    (param $s i32) (param $at i32) (param $len i32) (param $out i32)
    (local $head i32)
    (local.set $head (i32.sub (local.get $out) (i32.const 64)))
    (v128.store offset=160 (local.get $s) (v128.load offset=0 align=1 (local.get $head)))
    (v128.store offset=176 (local.get $s) (v128.load offset=16 align=1 (local.get $head)))
    (call $clear64 (local.get $head))
    (call $write_lengths (i32.add (local.get $at) (local.get $len)) (local.get $len)))

  ;; Puts the tag and what stood behind it back, wipes the Poly1305 key and compares the tags; on a
  ;; difference wipes $written bytes of output. Returns whether the tags were equal.
  (func (export "aead_open_end")
    (param $s i32) (param $at i32) (param $len i32) (param $out i32) (param $written i32)
    (result i32)
    (local $behind i32)
    (local.set $behind (i32.add (local.get $at) (local.get $len)))
    (v128.store offset=0 align=1 (local.get $behind) (v128.load offset=144 (local.get $s)))
    (v128.store offset=16 align=1 (local.get $behind) (v128.load offset=256 (local.get $s)))
    (v128.store offset=160 (local.get $s) (v128.const i64x2 0 0))
    (v128.store offset=176 (local.get $s) (v128.const i64x2 0 0))
    (if (result i32)
      (call $tags_equal
        (i32.add (local.get $s) (i32.const 128))
        (i32.add (local.get $s) (i32.const 144)))
      (then (i32.const 1))
      (else
        (memory.fill (local.get $out) (i32.const 0) (local.get $written))
        (i32.const 0))))

  ;; Wipes $len bytes at $at.
  (func (export "wipe") (param $at i32) (param $len i32)
    (memory.fill (local.get $at) (i32.const 0) (local.get $len))))
