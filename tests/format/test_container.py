from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lnx
from lnx import spec
from lnx.coding.tables import PRICE_BITS
from lnx.dtypes import ITEM_BYTES, NUMPY_NAMES, DType, turn, turn_back
from lnx.parts.prefix import read_frame
from lnx.parts.records import ExactRecord, FillRecord, LatentRecord
from lnx.parts.sections import Layout, pieces
from lnx.write.cut import cut_exact
from tests.format.making import assert_equal, decoder, exact, latents, small_container


def records_of(data):
    return {r.name: r for r in read_frame(data).header.records}


def test_one_of_everything_comes_back():
    container = small_container()
    data = lnx.dumps(container)
    assert_equal(container, lnx.loads(data))


def test_equal_containers_give_equal_files():
    assert lnx.dumps(small_container()) == lnx.dumps(small_container())
    data = lnx.dumps(small_container())
    assert lnx.dumps(lnx.loads(data)) == data


def test_empty_container():
    assert_equal(lnx.Container(()), lnx.loads(lnx.dumps(lnx.Container(()))))


@pytest.mark.parametrize("dtype", list(DType))
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 5), (2, 0, 4), (700,)])
def test_every_type_and_shape_comes_back_to_the_bit(dtype, shape):
    rng = np.random.default_rng(int(dtype))
    size = int(np.prod(shape)) * ITEM_BYTES[dtype]
    data = rng.integers(0, 2 if dtype is DType.BOOL else 256, size).astype(np.uint8)
    container = lnx.Container((lnx.Exact("x", dtype, shape, data),))
    again = lnx.loads(lnx.dumps(container))
    assert_equal(container, again)
    rebuilt = lnx.rebuild(again.resolve("x"), again)
    assert rebuilt.shape == shape
    assert rebuilt.dtype == np.dtype(NUMPY_NAMES[dtype])
    assert rebuilt.tobytes() == data.tobytes()


@pytest.mark.parametrize(
    "values",
    [
        [np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-45, 3.4e38],
        [np.nan] * 4,
        [1.0, 2.0, -0.5],
        [1e-8, 65504.0, 65520.0],
    ],
)
def test_special_floats_come_back_to_the_bit(values):
    for dtype, name in ((DType.F32, "<f4"), (DType.F64, "<f8")):
        with np.errstate(all="ignore"):
            array = np.array(values, name)
        container = lnx.Container((exact("x", array, dtype),))
        assert_equal(container, lnx.loads(lnx.dumps(container)))


def test_nan_payloads_survive_narrowing():
    words = np.array([0x7FC00001, 0x7F800001, 0xFFC00000, 0x3F800000], "<u4")
    container = lnx.Container((exact("x", words.view("<f4"), DType.F32),))
    assert_equal(container, lnx.loads(lnx.dumps(container)))


def test_short_floats_are_held_short():
    rng = np.random.default_rng(0)
    halves = rng.normal(size=100).astype("<f2").astype("<f4")
    brains = (rng.integers(1, 1 << 15, 100).astype("<u4") << 16).view("<f4")
    container = lnx.Container(
        (exact("half", halves, DType.F32), exact("brain", brains, DType.F32))
    )
    found = records_of(lnx.dumps(container))
    assert found["half"].stored_type is DType.F16
    assert found["brain"].stored_type is DType.BF16


@pytest.mark.parametrize("words, dtype", [("<u4", DType.F32), ("<u2", DType.BF16)])
def test_signs_are_kept_apart_from_exponents(words, dtype):
    rng = np.random.default_rng(0)
    normal = rng.normal(size=20_000).astype("<f4").view("<u4")
    array = (normal >> (0 if words == "<u4" else 16)).astype(words)
    container = lnx.Container((exact("x", array, dtype),))
    data = lnx.dumps(container)
    assert records_of(data)["x"].turned
    assert_equal(container, lnx.loads(data))
    exponents = normal >> 23 & 255
    shares = np.bincount(exponents)[np.unique(exponents)] / len(normal)
    bits = -(shares * np.log2(shares)).sum() + 8 * array.itemsize - 8
    assert len(data) < 1.005 * len(normal) * bits / 8 + 250


@pytest.mark.parametrize("name", ["F32", "BF16"])
def test_turned_words_turn_back(name):
    dtype = DType[name]
    data = np.arange(256, dtype=np.uint8)[::-1].copy()
    turned = turn(data, dtype)
    size = ITEM_BYTES[dtype]
    first = int.from_bytes(data[:size].tobytes(), "little")
    wanted = (first * 2) % (1 << 8 * size) + (first >> 8 * size - 1)
    assert int.from_bytes(turned[:size].tobytes(), "little") == wanted
    assert np.array_equal(turn_back(turned, dtype), data)


def test_repeated_values_take_one_element():
    container = small_container()
    record = records_of(lnx.dumps(container))["norm.running_mean"]
    assert isinstance(record, FillRecord)
    assert record.element == bytes(4)


def test_masks_only_where_they_pay():
    sparse = latents(500, 9, zero=0.9)
    dense = latents(500, 9, zero=0.0, spread=5)
    single = latents(500, 1, zero=0.9)
    container = lnx.Container(
        (
            lnx.Latent("sparse", (500, 9), sparse, 0),
            lnx.Latent("dense", (500, 9), dense, 0),
            lnx.Latent("single", (500,), single, 1),
            lnx.Latent("dead", (500, 9), np.zeros((500, 9), np.int32), 0),
        ),
        (decoder(9), decoder(1)),
    )
    data = lnx.dumps(container)
    found = records_of(data)
    assert found["sparse"].mask_table > 0
    assert found["dense"].mask_table == 0
    assert found["single"].mask_table == 0
    assert_equal(container, lnx.loads(data))
    assert found["sparse"].zero_slices == int((~sparse.any(axis=1)).sum())
    assert found["sparse"].nonzero == int(np.count_nonzero(sparse))


def test_slice_flags_make_the_file_smaller():
    symbols = latents(4000, 9, zero=0.9)
    flags = symbols.any(axis=1).mean()
    values = symbols[symbols.any(axis=1)]
    entropy = -flags * np.log2(flags) - (1 - flags) * np.log2(1 - flags)
    container = lnx.Container((lnx.Latent("x", (4000, 9), symbols, 0),), (decoder(9),))
    sizes = read_frame(lnx.dumps(container)).sizes
    assert sizes.masks <= 1.01 * entropy * 4000 / 8 + 8
    coded = 0.0
    for column in values.T:
        _, counts = np.unique(column, return_counts=True)
        coded -= float((counts * np.log2(counts / counts.sum())).sum())
    assert sizes.latents <= 1.01 * coded / 8 + 8


def test_large_tensors_are_cut_and_small_ones_share():
    tensors = [lnx.Latent("large", (30_000, 9), latents(30_000, 9, zero=0), 0)]
    tensors += [
        lnx.Latent(f"small{i}", (20, 9), latents(20, 9, seed=i), 0) for i in range(40)
    ]
    container = lnx.Container(tuple(tensors), (decoder(9),))
    data = lnx.dumps(container)
    header = read_frame(data).header
    assert len(header.latents) > 10
    assert len(header.latents) < len(data) / 3000
    assert_equal(container, lnx.loads(data))


@pytest.mark.parametrize("zero", [0.0, 0.6, 0.95])
def test_the_estimate_is_the_file(zero):
    container = lnx.Container(
        (lnx.Latent("x", (5000, 9), latents(5000, 9, zero=zero), 0),), (decoder(9),)
    )
    size = len(lnx.dumps(container))
    assert abs(lnx.estimate(container).file - size) <= 0.01 * size


def test_weights_are_sums_in_a_fixed_order():
    symbols = np.array([[3, -1, 2]], np.int32)
    matrix = decoder(3, seed=5)
    container = lnx.Container((lnx.Latent("x", (1, 3), symbols, 0),), (matrix,))
    weights = lnx.rebuild(container.resolve("x"), container)
    for j in range(3):
        total = np.float32(3) * matrix[0, j]
        total = np.float32(total + np.float32(-1) * matrix[1, j])
        total = np.float32(total + np.float32(2) * matrix[2, j])
        assert weights[0, j] == total


@pytest.mark.parametrize(
    ("tensors", "decoders", "message"),
    [
        ([exact("x", np.zeros(1), DType.F64)] * 2, [], "two tensors are named"),
        ([lnx.Alias("x", "y")], [], "not an earlier tensor"),
        ([lnx.Exact("x", DType.F32, (2,), np.zeros(7, np.uint8))], [], "8 bytes"),
        ([lnx.Latent("x", (4, 9), latents(3, 9), 0)], [decoder(9)], "27 latents"),
        ([lnx.Latent("x", (3, 9), latents(3, 9), 1)], [decoder(9)], "no decoder 1"),
        ([lnx.Latent("x", (3, 9), latents(3, 9), 0)], [decoder(4)], "other slices"),
        ([], [np.full((2, 2), np.nan, np.float32)], "NaN"),
        ([], [np.zeros((2, 3), np.float32)], "not square"),
        ([], [np.zeros((2, 2))], "float64, expected float32"),
        ([], [np.zeros((0, 0), np.float32)], "size 0"),
        ([], [np.zeros((2000, 2000), np.float32)], "size 2000"),
        ([], [np.zeros((1024, 1024), np.float32)] * 5, "too many"),
        (
            [
                exact("x", np.zeros(0), DType.F64).__class__(
                    "x", DType.U8, (1 << 40, 1 << 40, 0), np.zeros(0, np.uint8)
                )
            ],
            [],
            "too large",
        ),
        (
            [lnx.Latent("x", (2,), np.array([[5, 7]], np.int32), 0)],
            [np.array([[3e38, 3e38], [-3e38, -3e38]], np.float32)],
            "overflow",
        ),
        ([exact("\ud800", np.zeros(1), DType.F64)], [], "not Unicode"),
        ([exact("n" * 2000, np.zeros(1), DType.F64)], [], "at most 1024"),
        (
            [lnx.Latent("x", (20_000,), np.arange(20_000, dtype=np.int32)[:, None], 0)],
            [decoder(1)],
            "different latents",
        ),
    ],
)
def test_what_a_file_cannot_hold_is_refused(tensors, decoders, message):
    with pytest.raises(lnx.ContentError, match=message):
        lnx.dumps(lnx.Container(tuple(tensors), tuple(decoders)))


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@st.composite
def containers(draw):
    names = draw(st.lists(NAMES, max_size=6, unique=True))
    seed = draw(st.integers(0, 1 << 20))
    tensors = []
    for i, name in enumerate(names):
        kind = draw(st.sampled_from(["conv", "dense", "exact", "alias"]))
        rows = draw(st.integers(0, 60))
        zero = draw(st.sampled_from([0.0, 0.5, 1.0]))
        earlier = [t.name for t in tensors if not isinstance(t, lnx.Alias)]
        if kind == "conv":
            symbols = latents(rows, 4, seed + i, 2.0, zero)
            tensors.append(lnx.Latent(name, (rows, 2, 2), symbols, 0))
        elif kind == "dense":
            symbols = latents(rows, 1, seed + i, 30.0, zero)
            tensors.append(lnx.Latent(name, (rows,), symbols, 1))
        elif kind == "alias" and earlier:
            tensors.append(lnx.Alias(name, draw(st.sampled_from(earlier))))
        else:
            dtype = draw(st.sampled_from(list(DType)))
            size = rows * ITEM_BYTES[dtype]
            data = draw(st.binary(min_size=size, max_size=size))
            held = np.frombuffer(data, np.uint8)
            held = held & 1 if dtype is DType.BOOL else held
            tensors.append(lnx.Exact(name, dtype, (rows,), held))
    integers = st.integers(-(1 << 63), (1 << 64) - 1)
    names = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    record = draw(st.none() | st.dictionaries(names, integers))
    metadata = draw(st.none() | st.dictionaries(names, names))
    decoders = (decoder(4, seed), decoder(1, seed))
    return lnx.Container(tuple(tensors), decoders, record, record, metadata)


@given(containers())
@settings(max_examples=150, deadline=None)
def test_any_container_comes_back(container):
    data = lnx.dumps(container)
    assert_equal(container, lnx.loads(data))


def test_kinds_are_as_told():
    found = records_of(lnx.dumps(small_container()))
    assert isinstance(found["conv.weight"], LatentRecord)
    assert isinstance(found["norm.weight"], ExactRecord)


def test_data_that_is_not_contiguous():
    data = np.arange(32, dtype=np.uint8)
    whole = lnx.Exact("x", DType.F32, (4,), np.ascontiguousarray(data[::2]))
    parts = lnx.Exact("x", DType.F32, (4,), data[::2])
    assert lnx.dumps(lnx.Container((whole,))) == lnx.dumps(lnx.Container((parts,)))


def test_long_names_do_not_run_together():
    tensors = tuple(
        lnx.Latent("a" * 130 + str(i), (200 * (i + 1), 9), latents(200 * (i + 1), 9), 0)
        for i in range(3)
    )
    found = records_of(lnx.dumps(lnx.Container(tensors, (decoder(9),))))
    shares = [record.share * record.nonzero for record in found.values()]
    assert shares[0] < shares[1] < shares[2]


@pytest.mark.parametrize(
    "record", [[1], {1: 2}, {"a": (1, 2)}, {"a": float("inf")}, {"a": b""}]
)
def test_records_that_do_not_come_back_are_refused(record):
    with pytest.raises(lnx.ContentError, match="record"):
        lnx.dumps(lnx.Container((), (), record))


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt", "note": "ü\n\0"}])
def test_metadata_comes_back(metadata):
    container = lnx.Container((), (), metadata=metadata)
    assert lnx.loads(lnx.dumps(container)).metadata == metadata


@pytest.mark.parametrize("metadata", [{"a": 1}, {1: "a"}, [], {"a": None}])
def test_metadata_is_text_by_text(metadata):
    with pytest.raises(lnx.ContentError, match="that is not text"):
        lnx.dumps(lnx.Container((), (), metadata=metadata))


def test_long_metadata_is_refused():
    with pytest.raises(lnx.ContentError, match="at most 4194304 fit"):
        lnx.dumps(lnx.Container((), (), metadata={"a": "x" * (1 << 22)}))


@pytest.mark.parametrize(
    ("shape", "length", "expected"),
    [
        ((4, 2), 1, (4, 2)),  # no dimensions behind the first two: their product is 1
        ((4, 2), 2, (0, 0)),
        ((4, 2, 3), 3, (4, 2)),
        ((4, 2, 0), 1, (0, 0)),
        ((8,), 1, (0, 0)),
    ],
)
def test_dead_channels_are_counted_where_slices_lie_within_them(
    shape, length, expected
):
    symbols = np.zeros((int(np.prod(shape)) // length, length), np.int8)
    tensor = lnx.Latent("x", shape, symbols, 0)
    container = lnx.Container((tensor,), (decoder(length),))
    record = records_of(lnx.dumps(container))["x"]
    assert (record.zero_rows, record.zero_columns) == expected


def test_messages_about_what_a_user_gives_are_short_and_printable():
    """A writer's errors are shown, too: names come from checkpoints."""
    rude = "\x1b[2J\n" * 100
    one = exact(rude, np.zeros(1), DType.F64)
    for tensors in (
        [one, one],
        [lnx.Alias(rude, rude)],
        [replace(one, data=np.zeros(3, np.uint8))],
        [replace(one, shape=(-1,) * 1000)],
        [replace(one, name=rude * 10)],
        [lnx.Latent(rude, (4, 9), latents(3, 9), 0)],
    ):
        with pytest.raises(lnx.ContentError) as caught:
            lnx.dumps(lnx.Container(tuple(tensors), (decoder(9),)))
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 400


def test_brackets_in_strings_do_not_nest():
    container = lnx.Container((), (), {"a": "[" * 500})
    assert_equal(container, lnx.loads(lnx.dumps(container)))


def test_chunks_of_nearly_free_symbols_are_cut():
    symbols = np.zeros((700_000, 1), np.int32)
    symbols[::5000] = 1
    container = lnx.Container((lnx.Latent("x", (700_000,), symbols, 0),), (decoder(1),))
    assert len(read_frame(lnx.dumps(container)).header.latents) == 6
    assert_equal(container, lnx.loads(lnx.dumps(container)))


@pytest.mark.parametrize(
    ("floats", "size"), [(20_000, 4096), (300_000, 6562), (3_000_000, 32_768)]
)
def test_few_exact_floats_are_cut_into_many_chunks(floats, size):
    """A file of 1 MB had 60 chunks of 16 kB: few to decode side by side."""
    layout = Layout("x", floats, 4, (spec.RAW_TABLE, spec.RAW_TABLE, 1, 2))
    byte = 8 << PRICE_BITS
    sizes = cut_exact([layout], [floats * 7 // 2 * byte])  # 3.5 bytes a float
    assert sum(sizes) == floats
    *sizes, last = [rows * 3.5 for rows in sizes]
    assert size <= min(sizes) <= max(sizes) <= size + 8
    assert last <= size + 8


def test_chunks_of_exact_floats_hold_about_equally_many_symbols():
    """Lanes of unequal length are decoded in the time of the longest."""
    half = Layout("x", 200_000, 4, (spec.RAW_TABLE, spec.RAW_TABLE, 1, 2))
    all_four = Layout("y", 200_000, 4, (1, 1, 1, 1))
    byte = 8 << PRICE_BITS
    sizes = cut_exact([half, all_four], [700_000 * byte, 640_000 * byte])
    symbols = [
        sum(part.rows * (2, 4)[part.matrix] for part in parts)
        for parts in pieces([half, all_four], sizes)
    ]
    assert max(symbols[:-1]) <= 1.1 * min(symbols[:-1])


@pytest.mark.parametrize("length", [1, 9])
def test_a_large_tensor_of_zeros_comes_back(length):
    symbols = np.zeros((300_000, length), np.int8)
    tensor = lnx.Latent("x", symbols.shape, symbols, 0)
    container = lnx.Container((tensor,), (decoder(length),))
    data = lnx.dumps(container)
    assert len(data) < 400
    assert_equal(container, lnx.loads(data))
    some = symbols.copy()
    some[-1] = 1  # all the work at the end, where average prices cut wrongly
    container = lnx.Container((replace(tensor, symbols=some),), (decoder(length),))
    assert_equal(container, lnx.loads(lnx.dumps(container)))


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32])
def test_latents_of_any_width_give_the_same_bytes(dtype):
    wide = latents(500, 9)
    files = {
        lnx.dumps(
            lnx.Container((lnx.Latent("x", (500, 9), s, 0),), (decoder(9),)),
        )
        for s in (wide, wide.astype(dtype), np.asfortranarray(wide.astype(dtype)))
    }
    assert len(files) == 1


@pytest.mark.parametrize("high", [100, 127, 128, 255, 32767, 32768, (1 << 31) - 1])
@pytest.mark.parametrize("low", [-(1 << 31), -32769, -129, -128, -1, 0, 1])
def test_symbols_at_the_bounds_of_types_come_back(low, high):
    symbols = np.array([[low, high], [1, high], [low, 0], [1, 1]], np.int32)
    tensor = lnx.Latent("x", (4, 2), symbols, 0)
    container = lnx.Container((tensor,), (decoder(1),))
    assert_equal(container, lnx.loads(lnx.dumps(container)))


def test_bools_are_zero_or_one():
    bad = lnx.Exact("x", lnx.DType.BOOL, (3,), np.array([0, 1, 2], np.uint8))
    with pytest.raises(lnx.ContentError, match="neither 0 nor 1"):
        lnx.dumps(lnx.Container((bad,)))


@pytest.mark.parametrize("shape", [(-1, -2), (np.int64(2), 1), (2.0,), (True, 2)])
def test_shapes_are_plain_integers(shape):
    bad = lnx.Exact("x", lnx.DType.U8, shape, np.zeros(2, np.uint8))
    with pytest.raises(lnx.ContentError, match="expected plain integers"):
        lnx.dumps(lnx.Container((bad,)))


def test_any_bytes_are_read():
    data = lnx.dumps(small_container())
    for form in (bytearray, memoryview):
        assert_equal(lnx.loads(form(data)), small_container())
