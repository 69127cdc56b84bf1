//go:build wasip1

package component

import (
	"bytes"
	"strings"
	"unsafe"
)

// A component and its host pass values in linear memory, in the layout of the Canonical ABI. There, pointers have 32
// bits, unlike Go's on this platform. So a value of the contract is written and read member by member.

// arena keeps memory alive that is only reachable through an address of 32 bits.
type arena struct{ kept []unsafe.Pointer }

// allocate returns the address of zeroed memory with an alignment of 8.
func (a *arena) allocate(size uint32) uint32 {
	if size == 0 {
		return 8
	}
	block := make([]uint64, (size+7)/8)
	return a.keep(unsafe.Pointer(unsafe.SliceData(block)))
}

// keep keeps memory alive, and returns its address. Go moves stacks, but nothing that it keeps on the heap.
func (a *arena) keep(pointer unsafe.Pointer) uint32 {
	a.kept = append(a.kept, pointer)
	return uint32(uintptr(pointer))
}

// The host allocates memory for the arguments of exports, and for the results of imports. While it does, the component
// must not call the host, or it traps. Go's allocator may start a garbage collection, which reads the clock. So this memory
// comes from chunks outside of the heap. Its content is copied to the heap at once, and the chunks are used again.
type chunk struct{ start, size, used uint32 }

// chunks has room for all of the memory, because each chunk is at least as large as all before it.
var chunks [20]chunk

const firstChunk = 64 << 10

// sbrk extends the memory. It calls nothing. Builds allow this link with the linker's flag -checklinkname=0.
//
//go:linkname sbrk runtime.sbrk
func sbrk(size uintptr) unsafe.Pointer

//go:wasmexport cabi_export_realloc
//go:nosplit
func exportRealloc(old, oldSize, _, size uint32) uint32 { return reallocate(old, oldSize, size) }

//go:wasmexport cabi_import_realloc
//go:nosplit
func importRealloc(old, oldSize, _, size uint32) uint32 { return reallocate(old, oldSize, size) }

// reallocate allocates memory with an alignment of 8, and moves memory that grows.
//
//go:nosplit
func reallocate(old, oldSize, size uint32) uint32 {
	address := allocateForHost((size + 7) &^ 7)
	if oldSize > 0 {
		copy(unsafe.Slice((*byte)(pointer(address)), size), unsafe.Slice((*byte)(pointer(old)), oldSize))
	}
	return address
}

//go:nosplit
func allocateForHost(size uint32) uint32 {
	total := uint32(firstChunk)
	for index := range chunks {
		chunk := &chunks[index]
		if chunk.size == 0 {
			chunk.size = max(total, (size+firstChunk-1)&^(firstChunk-1))
			start := sbrk(uintptr(chunk.size))
			if start == nil {
				break
			}
			chunk.start = uint32(uintptr(start))
		}
		if size <= chunk.size-chunk.used {
			address := chunk.start + chunk.used
			chunk.used += size
			return address
		}
		total += chunk.size
	}
	// The memory's limit is reached, and the host records that. This traps.
	return *(*uint32)(pointer(1<<32 - 4))
}

// release makes the memory of the host free for the next call.
func release() {
	for index := range chunks {
		chunks[index].used = 0
	}
}

// The adapter of WASI 0.1 allocates its state and its stack, 64 KiB each, when Go's runtime first calls it. The runtime is
// not ready then, so this memory is static. Without this function, the adapter would grow the memory by itself, and Go
// would later take that memory for its own.
var (
	adapterMemory [4 << 16]byte
	adapterUsed   uint32
)

//go:wasmexport cabi_realloc_adapter
//go:nosplit
func adapterRealloc(_, _, align, size uint32) uint32 {
	base := uint32(uintptr(unsafe.Pointer(&adapterMemory)))
	address := (base + adapterUsed + align - 1) &^ (align - 1)
	adapterUsed = address + size - base
	return address
}

func pointer(address uint32) unsafe.Pointer { return unsafe.Add(nil, address) }

// cursor moves over consecutive addresses.
type cursor struct{ address uint32 }

// next returns the place of a value. Sizes of scalars are also their alignments.
func (c *cursor) next(size uint32) unsafe.Pointer {
	c.align(size)
	place := c.address
	c.address += size
	return pointer(place)
}

func (c *cursor) align(alignment uint32) {
	c.address = (c.address + alignment - 1) &^ (alignment - 1)
}

// writer writes values to consecutive addresses. With `measuring`, it only counts.
type writer struct {
	cursor
	measuring bool
	arena     *arena
}

func (w *writer) u8(value uint8) {
	if place := w.next(1); !w.measuring {
		*(*uint8)(place) = value
	}
}

func (w *writer) u16(value uint16) {
	if place := w.next(2); !w.measuring {
		*(*uint16)(place) = value
	}
}

func (w *writer) u32(value uint32) {
	if place := w.next(4); !w.measuring {
		*(*uint32)(place) = value
	}
}

func (w *writer) u64(value uint64) {
	if place := w.next(8); !w.measuring {
		*(*uint64)(place) = value
	}
}

func (w *writer) bool(value bool) {
	if value {
		w.u8(1)
	} else {
		w.u8(0)
	}
}

// block writes the address of memory and a length.
func (w *writer) block(memory unsafe.Pointer, length int) {
	if length == 0 || w.measuring {
		w.u32(8)
	} else {
		w.u32(w.arena.keep(memory))
	}
	w.u32(uint32(length))
}

func (w *writer) string(text string) { w.block(unsafe.Pointer(unsafe.StringData(text)), len(text)) }

func (w *writer) bytes(data []byte) { w.block(unsafe.Pointer(unsafe.SliceData(data)), len(data)) }

// option writes an optional value. An omitted value takes the same place.
func option[T any](w *writer, value *T, alignment uint32, write func(*writer, T)) {
	w.align(alignment)
	w.bool(value != nil)
	w.align(alignment)
	var written T
	if value != nil {
		written = *value
	}
	write(w, written)
	w.align(alignment)
}

func (w *writer) optionalString(text *string) { option(w, text, 4, (*writer).string) }
func (w *writer) optionalBytes(bytes *[]byte) { option(w, bytes, 4, (*writer).bytes) }
func (w *writer) optionalU32(number *uint32)  { option(w, number, 4, (*writer).u32) }
func (w *writer) optionalU64(number *uint64)  { option(w, number, 8, (*writer).u64) }

// sizeOf returns the size of a value that has its alignment.
func sizeOf[T any](alignment uint32, write func(*writer, T)) uint32 {
	var zero T
	measured := writer{measuring: true}
	write(&measured, zero)
	measured.align(alignment)
	return measured.address
}

// list writes a list of values.
func list[T any](w *writer, values []T, alignment uint32, write func(*writer, T)) {
	if w.measuring || len(values) == 0 {
		w.block(nil, 0)
		return
	}
	elements := writer{cursor: cursor{w.arena.allocate(sizeOf(alignment, write) * uint32(len(values)))}, arena: w.arena}
	w.u32(elements.address)
	w.u32(uint32(len(values)))
	for _, value := range values {
		write(&elements, value)
		elements.align(alignment)
	}
}

func (w *writer) strings(texts []string) { list(w, texts, 4, (*writer).string) }

// written writes a value to memory of its own, and returns its address.
func written[T any](a *arena, value T, alignment uint32, write func(*writer, T)) uint32 {
	w := writer{cursor: cursor{a.allocate(sizeOf(alignment, write))}, arena: a}
	start := w.address
	write(&w, value)
	return start
}

// reader reads values from consecutive addresses, and copies texts and bytes.
type reader struct{ cursor }

func (r *reader) u8() uint8   { return *(*uint8)(r.next(1)) }
func (r *reader) u16() uint16 { return *(*uint16)(r.next(2)) }
func (r *reader) u32() uint32 { return *(*uint32)(r.next(4)) }
func (r *reader) u64() uint64 { return *(*uint64)(r.next(8)) }

func (r *reader) string() string {
	address, length := r.u32(), r.u32()
	return textAt(address, length)
}

func (r *reader) bytes() []byte {
	address, length := r.u32(), r.u32()
	return bytesAt(address, length)
}

func textAt(address, length uint32) string {
	if length == 0 {
		return ""
	}
	return strings.Clone(unsafe.String((*byte)(pointer(address)), length))
}

func bytesAt(address, length uint32) []byte {
	if length == 0 {
		return []byte{}
	}
	return bytes.Clone(unsafe.Slice((*byte)(pointer(address)), length))
}

// optional reads an optional text or optional bytes, which have the same layout.
func optional[T any](r *reader, read func(*reader) T) *T {
	r.align(4)
	if r.u8() == 0 {
		_, _ = r.u32(), r.u32()
		return nil
	}
	value := read(r)
	return &value
}
